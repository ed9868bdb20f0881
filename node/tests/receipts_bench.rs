//! The measurement measures: everything that it counts was really signed, kept and answered.

use leasehold_node::receipts::bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_reported_and_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let figures = bench::run(folder.path(), 500, 16).await.unwrap();
    assert_eq!((figures.receipts, figures.clients), (500, 16));
    assert!((figures.per_second * figures.seconds - 500.0).abs() < 1e-6);
    assert!(figures.signature_micros > 0.0);
    // Processor time is told in hundredths of a second, so the part of the signatures is a rough one here.
    assert!(figures.cpu_seconds > 0.0 && figures.signature_fraction > 0.0);
    // The same folder holds receipts already: they are not counted again as new.
    let refused = bench::run(folder.path(), 500, 16).await.unwrap_err();
    assert!(refused.to_string().contains("1000 receipts were kept of 500"), "{refused}");
}
