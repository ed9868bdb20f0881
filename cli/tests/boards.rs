//! Boards that `offers`, `quote` and `lease open` read.

use std::process::{Command, Output};

use leasehold::state::Slot;
use leasehold_client::{
    invariants::{BoardState, Snapshot},
    sample::{NOW, board_data, change, market, rpc::RpcServer, slot, snapshot, wallet},
};
use solana_pubkey::Pubkey;

fn board(index: u32, machines: &[Slot]) -> BoardState {
    let mut header = *snapshot().boards.remove(0).data.view().unwrap().header;
    let count = machines.len() as u32;
    (header.index, header.slots, header.machines) = (index, count, count);
    BoardState {
        address: market().board(index).address,
        data: board_data(&header, machines),
        payment_vault: 0,
        unasked_payments: 0,
        leases: vec![],
    }
}

/// Boards 0 to 3: idle machines, machines that nobody has seen for long, none, and idle machines.
fn scene() -> (RpcServer, Snapshot) {
    let mut market = snapshot();
    market.market.next_board = 4;
    market.boards = vec![
        board(0, &[slot(0), slot(1)]),
        board(1, &[slot(0), slot(1)]),
        board(2, &[]),
        board(3, &[slot(0), slot(1)]),
    ];
    change(&mut market.boards[1].data, |header, _| header.quorate = 0);
    (RpcServer::start(&market, NOW), market)
}

fn leasehold(server: &RpcServer, args: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let keypair = folder.path().join("id.json");
    solana_keypair::write_keypair_file(&solana_keypair::Keypair::new(), &keypair).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    command.args(args.split_whitespace()).args(["--market", "7", "-u", &server.url, "-k"]).arg(keypair);
    command.env("HOME", folder.path()).output().unwrap()
}

/// Numbers of the boards that were read as a whole, in order.
fn whole(server: &RpcServer) -> Vec<u32> {
    let boards: Vec<Pubkey> = (0..4).map(|index| market().board(index).address).collect();
    let asked = server.take();
    let asked = asked.iter().filter(|asked| asked.slice().is_none()).filter_map(|asked| asked.address());
    let mut read: Vec<u32> = asked
        .filter_map(|address| boards.iter().position(|board| *board == address))
        .map(|at| at as u32)
        .collect();
    read.sort_unstable();
    read
}

#[test]
fn boards_that_can_have_no_machine_are_not_read() {
    let (server, _) = scene();
    for (args, expected) in [
        ("quote --gpus 1 --for 6r", &[0, 3][..]),
        ("lease open --gpus 1 --for 6r --dry-run", &[0, 3]),
        ("quote --gpus 1 --for 6r --allow-unseen", &[0, 1, 3]),
        ("quote --gpus 1 --for 6r --board 3", &[3]),
        // Machines that were not seen are counted.
        ("offers", &[0, 1, 3]),
        // Seats are in the header.
        (&format!("keeper show --keeper {}", wallet(2)), &[]),
    ] {
        let output = leasehold(&server, args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || args.starts_with("lease open"), "{args}: {error}");
        assert_eq!(whole(&server), expected, "{args}: {error}");
    }
}

#[test]
fn a_search_without_success_looks_at_all_boards() {
    let (server, _) = scene();
    let output = leasehold(&server, "quote --gpus 5 --for 6r --output json");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(whole(&server), [0, 0, 1, 2, 3, 3], "those that may fit, then all");
    let quoted: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let instead = quoted["alternatives"].as_array().unwrap();
    assert!(instead.iter().any(|other| other["gpus"] == 5), "with machines that nobody has seen: {quoted}");
}
