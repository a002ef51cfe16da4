//! What integration tests share: the programs under test, scratch trees that
//! coreutils compare, and servers.

pub mod fault_server;
pub mod interpose;
pub mod issuer;
pub mod model_server;
pub mod outside;
pub mod pod;
pub mod program;
pub mod sidecar;
pub mod skip;
pub mod store;
pub mod stores;
pub mod tls_front;
pub mod tree;
pub mod wire;

/// Runs each named function once with every driver that a process can be told
/// to use; where the kernel refuses io_uring, its half is skipped out loud.
#[macro_export]
macro_rules! under_both_drivers {
    ($($(#[$attribute:meta])* $test:ident),+ $(,)?) => {
        mod uring {
            $(
                #[test]
                $(#[$attribute])*
                fn $test() {
                    if $crate::uring_works() {
                        super::$test("uring");
                    } else {
                        $crate::skip::skip("this kernel or container refuses io_uring");
                    }
                }
            )+
        }
        mod epoll {
            $(
                #[test]
                $(#[$attribute])*
                fn $test() {
                    super::$test("epoll");
                }
            )+
        }
    };
}

/// Whether a ring can be opened here.
pub fn uring_works() -> bool {
    osmo_engine::ring::Ring::open(osmo_engine::IoChoice::Uring).is_ok()
}
