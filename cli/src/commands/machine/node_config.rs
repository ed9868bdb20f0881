//! The configuration file of the node of some machines.

use super::show::{Line, Machines};

impl Machines {
    /// A configuration file of leasehold-node for these machines, with FILE as the path of each keypair.
    pub fn node_config(&self) -> String {
        let program = leasehold::ID;
        let mut text = format!("program = \"{program}\"\nmarket = \"{}\"\n", self.market);
        for line in &self.machines {
            let Line { board_address, round_secs, slot, generation, node_key, .. } = line;
            text += &format!(
                "\n[[machine]]\nboard = \"{board_address}\"\nround_secs = {round_secs}\nslot = {slot}\n\
                 generation = {generation}\n# The keypair of {node_key}.\nkeypair = \"FILE\"\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use solana_pubkey::Pubkey;

    use super::super::show::tests::reused;
    use leasehold_operate::sample::view;

    #[test]
    fn the_configuration_of_a_node_names_every_machine_with_fields_that_nodes_know() {
        let text = reused().node_config();
        let config: toml::Table = text.parse().unwrap();
        assert_eq!(config["program"].as_str(), Some(leasehold::ID.to_string().as_str()));
        assert_eq!(config["market"].as_str(), Some(view().reference.address.to_string().as_str()));
        let machines = config["machine"].as_array().unwrap();
        assert_eq!(machines.len(), 2);
        let board = view().board(0).address.to_string();
        assert_eq!(machines[1]["board"].as_str(), Some(board.as_str()));
        let number = |name: &str| machines[1][name].as_integer().unwrap();
        assert_eq!((number("slot"), number("generation"), number("round_secs")), (1, 2, 600));
        let key = Pubkey::new_from_array([77; 32]);
        assert!(text.ends_with(&format!("# The keypair of {key}.\nkeypair = \"FILE\"\n")), "{text}");
        // Names that the node's example explains, commented out ones included.
        let example = include_str!("../../../../node/example.toml").lines();
        let known: BTreeSet<_> =
            example.filter_map(|line| Some(line.trim_start_matches("# ").split_once(" = ")?.0)).collect();
        let fields = config.keys().filter(|key| *key != "machine");
        for field in fields.chain(machines.iter().flat_map(|machine| machine.as_table().unwrap().keys())) {
            assert!(known.contains(field.as_str()), "{field}");
        }
    }
}
