//! Looks at the files again and again. A certificate is renewed by renaming, by switching a link two folders up, by
//! writing in place: what they hold is compared, and nothing else is trusted to say that it changed.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::Certificates;
use crate::{
    certificate::{CertificateError, Digest, Files},
    shutdown::Shutdown,
};

/// Between two looks. A content counts once two looks in a row found it: certificate and key are seldom written at one
/// moment.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of one pair's files.
struct Seen {
    /// What was judged last.
    judged: Digest,
    /// What the last look found.
    last: Digest,
    /// Why what stands there is not in use.
    error: Option<CertificateError>,
}

impl Certificates {
    /// Follows the files until `shutdown`, on the work plane. `tell` hears, each time that it changes, why some of
    /// them are not in use as they stand.
    pub async fn follow(self: Arc<Self>, tell: impl Fn(Option<String>) + Send, shutdown: Shutdown) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let known = |digest: &Digest| Seen { judged: *digest, last: *digest, error: None };
        let mut seen: Vec<Seen> = self.began_with.iter().map(known).collect();
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                _ = looks.tick() => {}
            }
            let mut judged = false;
            for (place, (files, seen)) in self.look().await.into_iter().zip(&mut seen).enumerate() {
                let now = files.digest();
                let settled = std::mem::replace(&mut seen.last, now) == now;
                if settled && now != seen.judged {
                    seen.judged = now;
                    seen.error = self.take(place, files).err();
                    judged = true;
                }
            }
            if judged {
                let errors = seen.iter().filter_map(|seen| seen.error.as_ref()).map(ToString::to_string);
                let errors = errors.collect::<Vec<_>>().join("; ");
                if errors.is_empty() {
                    self.metrics.all_in_use();
                } else {
                    self.metrics.last_good();
                }
                tell((!errors.is_empty()).then_some(errors));
            }
        }
    }

    async fn look(&self) -> Vec<Files> {
        let pairs = self.pairs.clone();
        spawn_blocking(move || pairs.iter().map(Files::read).collect()).await.unwrap_or_default()
    }

    /// Puts what `files` hold in use, or says once why not.
    fn take(&self, place: usize, files: Files) -> Result<(), CertificateError> {
        let Some(pair) = self.pairs.get(place) else { return Ok(()) };
        let path = pair.certificate.display();
        match files.judge(pair, (self.clock)()) {
            Ok(identity) => {
                self.replace(place, identity);
                self.metrics.applied();
                tracing::info!(%path, "the certificate is in use");
                Ok(())
            }
            Err(error) => {
                self.metrics.rejected();
                tracing::error!(%path, %error, "the certificate is not in use; the last good one is");
                Err(error)
            }
        }
    }
}
