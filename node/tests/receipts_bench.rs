//! The benchmark: every receipt that it counts was signed, stored and returned.

use leasehold_node::receipts::bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_reported_and_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let figures = bench::run(folder.path(), 500, 16).await.unwrap();
    assert_eq!((figures.receipts, figures.clients), (500, 16));
    assert!((figures.per_second * figures.seconds - 500.0).abs() < 1e-6);
    assert!(figures.signature_micros > 0.0);
    // Processor time comes in hundredths of a second, so that the share of signatures is rough here.
    assert!(figures.cpu_seconds > 0.0 && figures.signature_fraction > 0.0);
    // The folder holds receipts already: they are not counted as new.
    let refused = bench::run(folder.path(), 500, 16).await.unwrap_err();
    assert!(refused.to_string().contains("1000 receipts were stored instead of 500"), "{refused}");
}
