//! The loop of a simulated ring: a task beside others of one paused runtime,
//! whose clock jumps when nobody has anything to do.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Instant;

use tokio::time::sleep_until;

use crate::ring::core::Core;
use crate::ring::driver::Driver;
use crate::ring::run::Main;
use crate::sim;

impl Core {
    /// As [`Core::run`], without keeping the thread.
    ///
    /// # Panics
    /// On a thread that lives in no simulation.
    #[allow(clippy::panic)] // tests alone come here
    pub(in crate::ring) async fn drive<F: Future>(&self, main: F) -> F::Output {
        let _ends = self.begins();
        let Some(world) = sim::world() else { panic!("this thread lives in no simulation") };
        let main = pin!(main);
        let mut main = Main::new(main, &self.hub);
        let mut ready = VecDeque::new();
        loop {
            // Which task goes first is chance; what each is woken for is not.
            if ready.len() > 1 {
                let first = world.pick(ready.len());
                ready.swap(0, first);
            }
            if let Some(output) = main.step(self, &mut ready) {
                return output;
            }
            if let Err(refused) = self.turn(false, &mut ready) {
                panic!("a simulated turn failed: {refused}");
            }
            if ready.is_empty() && self.hub.is_quiet(self.wakes_passed.get()) {
                self.rest(&world).await;
            }
        }
    }

    /// Until a deadline, or until something stirs.
    async fn rest(&self, world: &std::rc::Rc<dyn sim::World>) {
        let of_driver = match &*self.driver.borrow() {
            Driver::Sim(sim) => sim.next_due(),
            Driver::Uring(_) | Driver::Epoll(_) => None,
        };
        let of_timers = self.timers.borrow().next_deadline();
        let next: Option<Instant> = of_driver.into_iter().chain(of_timers).min();
        let late = async {
            match next {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = world.stir().notified() => {}
            () = late => {}
        }
    }
}
