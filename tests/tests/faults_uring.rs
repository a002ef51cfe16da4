//! Every call × every fault, on io_uring. Alone in its process: descriptors are counted.

mod faults;

#[test]
fn every_call_survives_every_fault() {
    if !osmo_tests::uring_works() {
        return osmo_tests::skip::skip("this kernel or container refuses io_uring");
    }
    faults::matrix::run("uring");
}
