//! Starts and stops surfpool's threads.

use std::{
    net::{Ipv4Addr, TcpListener},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use solana_pubkey::Pubkey;
use surfpool_core::{
    runloops::start_local_surfnet_runloop,
    surfnet::{
        GeyserEvent,
        locker::SurfnetSvmLocker,
        svm::{SurfnetSvm, SurfnetSvmConfig},
    },
};
use surfpool_types::{
    BlockProductionMode, RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent, SurfpoolConfig,
};

use crate::{
    clock::{Ticker, spawn},
    error::NetworkError,
    options::{Options, Program},
};

/// Time within which the servers must open and close their ports.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Interval of surfpool's own clock, which is not used (see [`Ticker`]), but cannot be switched off.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Attempts to start, because another process may take a free port between its choice and its use.
const ATTEMPTS: u32 = 3;

/// The HTTP and the websocket server each report that they closed their port.
const SERVERS: usize = 2;

pub(crate) struct Surfnet {
    pub rpc_port: u16,
    pub ws_port: u16,
    pub ticker: Ticker,
    commands: Sender<SimnetCommand>,
    closed: Receiver<()>,
    machine: Option<JoinHandle<Result<(), String>>>,
}

impl Surfnet {
    /// Starts the machine and waits until its ports are open. `payer` starts with `lamports`.
    pub fn start(options: &Options, payer: Pubkey, lamports: u64) -> Result<Self, NetworkError> {
        let any = |port: Option<u16>| port.unwrap_or(0) == 0;
        let mut attempts = if any(options.rpc_port) || any(options.ws_port) { ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::try_start(options, payer, lamports) {
                Err(NetworkError::Start(reason)) if attempts > 0 => {
                    tracing::debug!("starting the local network again: {reason}");
                }
                end => return end,
            }
        }
    }

    fn try_start(options: &Options, payer: Pubkey, lamports: u64) -> Result<Self, NetworkError> {
        let (rpc_port, ws_port) = ports(options)?;
        let slot_ms = u64::try_from(options.slot.as_millis()).unwrap_or(u64::MAX).max(1);
        let simnet = SimnetConfig {
            offline_mode: true,
            remote_rpc_url: None,
            slot_time: u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX),
            // `Ticker` requests every block.
            block_production_mode: BlockProductionMode::Manual,
            airdrop_addresses: vec![payer],
            airdrop_token_amount: lamports,
            instruction_profiling_enabled: false,
            max_profiles: 1,
            ..SimnetConfig::default()
        };
        let (machine, events, geyser) = SurfnetSvm::new(SurfnetSvmConfig {
            surfnet_id: simnet.surfnet_id.clone(),
            slot_time: slot_ms,
            // Profiling runs every instruction again on a copy of the whole machine, which takes 100 ms once some
            // thousand transactions are stored, and keeps copies of the accounts: a board has over a megabyte.
            instruction_profiling_enabled: false,
            max_profiles: 1,
            log_bytes_limit: simnet.log_bytes_limit,
            ..SurfnetSvmConfig::default()
        })
        .map_err(|error| NetworkError::Start(error.to_string()))?;
        let config = SurfpoolConfig {
            simnets: vec![simnet],
            rpc: RpcConfig {
                bind_host: Ipv4Addr::LOCALHOST.to_string(),
                bind_port: rpc_port,
                ws_port,
                ..RpcConfig::default()
            },
            ..SurfpoolConfig::default()
        };

        let locker = SurfnetSvmLocker::new(machine);
        let (commands, queue) = unbounded();
        let program = options.program.clone();
        let run = {
            let (locker, commands) = (locker.clone(), commands.clone());
            move || run(locker, program, payer, config, commands, queue, geyser)
        };
        let machine = spawn("localnet", run)?;
        await_ports(&events, &machine)?;

        let (notify, closed) = unbounded();
        spawn("localnet-events", move || drain(&events, &notify))?;
        let ticker = Ticker::start(locker, commands.clone(), slot_ms)?;
        Ok(Self { rpc_port, ws_port, ticker, commands, closed, machine: Some(machine) })
    }
}

impl Drop for Surfnet {
    fn drop(&mut self) {
        self.ticker.stop();
        if self.commands.send(SimnetCommand::Terminate(None)).is_err() {
            return;
        }
        let deadline = Instant::now() + TIMEOUT;
        for _ in 0..SERVERS {
            if self.closed.recv_deadline(deadline).is_err() {
                tracing::warn!("the local network did not close its ports in time");
                return;
            }
        }
        if let Some(Ok(Err(error))) = self.machine.take().map(JoinHandle::join) {
            tracing::warn!("the local network ended with an error: {error}");
        }
    }
}

/// Loads the program and runs the machine until it receives the command to stop.
fn run(
    locker: SurfnetSvmLocker,
    program: Option<Program>,
    authority: Pubkey,
    config: SurfpoolConfig,
    commands: Sender<SimnetCommand>,
    queue: Receiver<SimnetCommand>,
    geyser: Receiver<GeyserEvent>,
) -> Result<(), String> {
    // Surfpool blocks the thread it runs on, which only this kind of runtime allows.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        if let Some(Program { id, bytes }) = program {
            locker
                .write_program(id, Some(authority), 0, &bytes, &None)
                .await
                .map_err(|error| format!("cannot load the program: {error}"))?;
        }
        start_local_surfnet_runloop(locker, config, commands, queue, geyser)
            .await
            .map_err(|error| error.to_string())
    })
}

fn await_ports(
    events: &Receiver<SimnetEvent>,
    machine: &JoinHandle<Result<(), String>>,
) -> Result<(), NetworkError> {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline && !machine.is_finished() {
        match events.recv_timeout(Duration::from_millis(20)) {
            Ok(SimnetEvent::CoreStarted(_)) => return Ok(()),
            Ok(SimnetEvent::Aborted(reason)) => return Err(NetworkError::Start(reason)),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Err(NetworkError::Start("its ports did not open; another process may use them".to_owned()))
}

/// Empties the machine's event queue; a full queue would block its threads.
fn drain(events: &Receiver<SimnetEvent>, closed: &Sender<()>) {
    for event in events {
        match event {
            SimnetEvent::Shutdown => {
                // An error means that nobody waits for it.
                let _ = closed.send(());
            }
            SimnetEvent::Aborted(reason) => tracing::error!("the local network aborted: {reason}"),
            SimnetEvent::ErrorLog(_, message) => tracing::debug!("local network: {message}"),
            _ => {}
        }
    }
}

/// The requested ports, or free ones.
fn ports(options: &Options) -> Result<(u16, u16), NetworkError> {
    // Both stay bound until both are known, so that they differ.
    let rpc = bind(options.rpc_port)?;
    let ws = bind(options.ws_port)?;
    let port = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|address| address.port())
            .map_err(|error| NetworkError::Start(error.to_string()))
    };
    Ok((port(&rpc)?, port(&ws)?))
}

fn bind(port: Option<u16>) -> Result<TcpListener, NetworkError> {
    let port = port.unwrap_or(0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|reason| NetworkError::Port { port, reason })
}
