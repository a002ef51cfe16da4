//! Every call × every fault, on epoll. Alone in its process: descriptors are counted.

mod faults;

#[test]
fn every_call_survives_every_fault() {
    faults::matrix::run("epoll");
}
