//! Ctrl-C: noticed once, seen by everything that takes long.

use tokio::sync::watch;

/// Whether the user wants to stop.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Never comes.
    pub fn never() -> Self {
        let (sender, receiver) = watch::channel(false);
        drop(sender);
        Self(receiver)
    }

    /// Comes once the sender says `true`.
    pub fn when(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    /// Comes when whoever holds the other end says so.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Comes with the first Ctrl-C (or SIGTERM); the second ends the process at once. Needs a tokio runtime.
    pub fn on_signal() -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            stop_signal().await;
            let _ = sender.send(true);
            stop_signal().await;
            std::process::exit(130);
        });
        Self(receiver)
    }

    /// Waits until it comes; forever, if it never does.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has come.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be caught here: the default action ends the process.
        std::future::pending::<()>().await;
    }
}
