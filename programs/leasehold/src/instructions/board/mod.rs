pub mod close_board;
pub mod create_board;
pub mod forfeit_machines;
pub mod list_machines;
pub mod reprice_machines;
pub mod retire_machines;
pub mod trim_board;

pub use close_board::*;
pub use create_board::*;
pub use forfeit_machines::*;
pub use list_machines::*;
pub use reprice_machines::*;
pub use retire_machines::*;
pub use trim_board::*;
