//! What the agent is told: the lifecycle's orders first, then what the sessions
//! ask.

use osmo_protocol::socket::Frame;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

pub(crate) struct Orders {
    pub(crate) first: mpsc::Receiver<Frame>,
    pub(crate) then: mpsc::Receiver<Frame>,
}

impl Orders {
    /// None once the lifecycle has given its last.
    async fn next(&mut self) -> Option<Frame> {
        tokio::select! {
            biased;
            order = self.first.recv() => order,
            Some(ask) = self.then.recv() => Some(ask),
        }
    }

    /// Writes orders to the last one.
    pub(super) async fn write(mut self, mut writer: OwnedWriteHalf) {
        while let Some(order) = self.next().await {
            if writer.write_all(&order.encode()).await.is_err() {
                // The reading side notices the end, and tells it.
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use osmo_protocol::socket::Frame;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;
    use tokio::sync::mpsc;

    use super::Orders;

    const ASKS: u16 = 8;

    /// The agent reads nothing until the sessions' queue is full.
    #[tokio::test]
    async fn an_order_of_the_lifecycle_overtakes_a_full_queue() {
        let (orders, first) = mpsc::channel(1);
        let (asks, then) = mpsc::channel(usize::from(ASKS));
        for port in 1..=ASKS {
            asks.try_send(Frame::PortForward { port }).unwrap();
        }
        assert!(asks.try_send(Frame::PortForward { port: 0 }).is_err(), "it is full");
        orders.try_send(Frame::UserStop).unwrap();

        let (ours, mut agent) = UnixStream::pair().unwrap();
        let (_, writer) = ours.into_split();
        let write = tokio::spawn(Orders { first, then }.write(writer));
        let probes = (1..=ASKS).map(|port| Frame::PortForward { port });
        let expected: Vec<u8> =
            [Frame::UserStop].into_iter().chain(probes).flat_map(|frame| frame.encode()).collect();
        let mut heard = vec![0; expected.len()];
        agent.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
        // With the lifecycle's last order the connection ends, asks or none.
        drop(orders);
        write.await.unwrap();
    }
}
