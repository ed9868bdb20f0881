//! Tabs and vouchers: the amount that a lease owes, and the amount that its buyer has signed.

use super::Api;
use super::receipts::address;
use crate::leases::RunningLease;
use crate::receipts::refusal::Refusal;
use crate::receipts::store::MachineKey;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use leasehold::state::Voucher;
use leasehold_client::probe::Pubkey;
use leasehold_client::record::{SignedVoucher, receipt::prefix};
use leasehold_client::wire::{BestVoucher, Tab, VoucherOffer};
use leasehold_daemon::unix_ms;
use serde::Deserialize;
use std::sync::Arc;

pub(super) async fn take(
    State(api): State<Arc<Api>>,
    offer: Result<Json<VoucherOffer>, JsonRejection>,
) -> Result<Json<BestVoucher>, Refusal> {
    let Json(offer) = offer?;
    let malformed = |error: leasehold_client::record::RecordError| Refusal::malformed(error.to_string());
    let signed = SignedVoucher::from_base64(&offer.voucher).map_err(malformed)?;
    let lease = Pubkey::new_from_array(signed.voucher.lease);
    let terms = terms(&api, &lease).await?.ok_or(Refusal::UnknownLease)?;
    if !terms.fit(&signed.voucher) {
        return Err(Refusal::UnknownLease);
    }
    signed.verify(&terms.spender).map_err(malformed)?;
    let best = better(&api, signed).await?;
    Ok(Json(BestVoucher {
        lease_address: lease,
        from: best.from,
        seq: best.seq,
        units: best.units,
        price: best.price,
    }))
}

/// Stores the voucher if it is better than the lease's best one, and returns the best. Others need not wait for the disk.
async fn better(api: &Api, signed: SignedVoucher) -> Result<Voucher, Refusal> {
    let lease = Pubkey::new_from_array(signed.voucher.lease);
    let known = api.issuer.store.best_voucher(&lease, signed.voucher.from).await?;
    match known.filter(|known| known.voucher.price >= signed.voucher.price) {
        Some(known) => Ok(known.voucher),
        None => Ok(api.issuer.store.put_voucher(signed).await?.voucher),
    }
}

struct Terms {
    from: u32,
    cluster: [u8; 8],
    spender: Pubkey,
    slot: u16,
    generation: u32,
    /// `None` if the machine is no longer in the configuration.
    node_key: Option<[u8; 32]>,
    /// `None` if the lease is over.
    supplier: Option<[u8; 8]>,
}

impl Terms {
    /// True if the voucher names the cluster, the lease and the machine.
    fn fit(&self, voucher: &Voucher) -> bool {
        (voucher.from, voucher.cluster) == (self.from, self.cluster)
            && (voucher.slot, voucher.generation) == (self.slot, self.generation)
            && self.node_key.is_none_or(|key| voucher.node_key == key)
            && self.supplier.is_none_or(|supplier| voucher.supplier == supplier)
    }
}

/// Terms of a metered lease that runs or ran here: its last voucher may come after its end.
async fn terms(api: &Api, lease: &Pubkey) -> Result<Option<Terms>, Refusal> {
    let running = api.issuer.leases.borrow().at(lease).map(|(place, running)| (place, running.clone()));
    if let Some(((board, slot), running)) = running {
        let Some(meter) = running.meter else { return Ok(None) };
        let machine = MachineKey { board, slot, generation: running.generation };
        return Ok(Some(Terms {
            from: running.from,
            cluster: running.cluster,
            spender: meter.spender,
            slot,
            generation: running.generation,
            node_key: node_key(api, &machine),
            supplier: Some(prefix(&running.supplier)),
        }));
    }
    let Some(tab) = api.issuer.store.tab_at(lease).await? else { return Ok(None) };
    Ok(tab.spender.map(|spender| Terms {
        from: tab.from,
        cluster: tab.cluster,
        spender,
        slot: tab.machine.slot,
        generation: tab.machine.generation,
        node_key: node_key(api, &tab.machine),
        supplier: None,
    }))
}

/// Key of a machine of this node.
fn node_key(api: &Api, key: &MachineKey) -> Option<[u8; 32]> {
    let machines = api.issuer.machines.borrow();
    let machine = machines.iter().find(|machine| MachineKey::of(machine) == Some(*key))?;
    Some(machine.key.verifying_key().to_bytes())
}

/// Payment units that vouchers have paid in the lease.
fn paid(lease: &Arc<RunningLease>) -> u64 {
    lease.meter.map_or(0, |meter| meter.paid)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Needed if machines of several boards have the same slot.
    board: Option<String>,
    /// Serial of a lease that is over; the running one if it is left out.
    lease: Option<u32>,
}

pub(super) async fn tab(
    State(api): State<Arc<Api>>,
    slot: Result<Path<u32>, PathRejection>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Tab>, Refusal> {
    let (Path(slot), Query(which)) = (slot?, which?);
    let issuer = &api.issuer;
    let machine = issuer.machine(Some(slot), address(which.board.as_deref())?)?;
    let key = MachineKey::of(&machine).ok_or(Refusal::NoSuchMachine(slot))?;
    let running = match which.lease {
        Some(_) => None,
        None => Some(issuer.lease(&machine, unix_ms())?),
    };
    let serial = running.as_ref().map(|lease| lease.serial).or(which.lease).unwrap_or_default();
    let tab = api.issuer.store.tab(&key, serial).await?;
    let json = match (tab, running) {
        (Some(tab), running) => Tab {
            lease: serial,
            lease_address: tab.address,
            from: tab.from,
            seq: tab.seq,
            units: tab.units,
            price: tab.price,
            signed_price: running.as_ref().map_or(0, paid).max(tab.signed_price),
            limit: issuer.limit.lease,
        },
        // Nothing was used yet; the buyer may sign in advance.
        (None, Some(lease)) => {
            let voucher = api.issuer.store.best_voucher(&lease.address, lease.from).await?;
            Tab {
                lease: serial,
                lease_address: lease.address,
                from: lease.from,
                seq: lease.numbers.first,
                units: lease.meter.map_or(0, |meter| meter.units),
                price: paid(&lease),
                signed_price: voucher.map_or(0, |signed| signed.voucher.price).max(paid(&lease)),
                limit: issuer.limit.lease,
            }
        }
        (None, None) => return Err(Refusal::NotFound("this machine served no such lease")),
    };
    Ok(Json(json))
}
