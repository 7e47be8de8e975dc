//! Whether an acknowledgement of the log means "on disk".
//!
//! Invariant: of the server that we talk to and of each replica of `COMMANDS` that can store, this very start has said
//! that it syncs always. What a server said counts until its end, whether its port answers later or not; a start that
//! has said nothing counts as lazy. Only a replica that the leader has no connection with does not count.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::jetstream::stream::ClusterInfo;
use futures::future::join_all;

use crate::log::get_stream;
use crate::monitor::{Durability, Peer, View, ports, view};
use crate::streams::COMMANDS;
use crate::{Error, Log};

/// What was found out; appends are refused over any connection but the one that was found durable last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked(Arc<RwLock<Findings>>);

#[derive(Debug, Default)]
struct Findings {
    /// By its number, see [`Log::connects`].
    durable: Option<u64>,
    /// What each port said last, by its address.
    said: BTreeMap<String, Said>,
}

/// A server's word, good from its start to its end.
#[derive(Debug, Clone)]
struct Said {
    server_id: String,
    durability: Durability,
}

/// The servers as their ports show them at one time.
struct Seen {
    /// Of these the port answers and they keep streams.
    answering: Vec<Peer>,
    /// Those, and whoever is connected with one that answers.
    online: Vec<Peer>,
    said: Vec<Said>,
    /// Why a port did not answer.
    silent: Option<Error>,
}

impl Checked {
    fn set(&self, durable: Option<u64>) {
        let mut findings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        findings.durable = durable;
    }

    fn is(&self, connection: u64) -> bool {
        let findings = self.0.read().unwrap_or_else(PoisonError::into_inner);
        findings.durable == Some(connection)
    }

    async fn look(&self, urls: &str) -> Seen {
        let views = join_all(ports(urls).map(async |url| (url, view(url).await))).await;
        let mut findings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let said = &mut findings.said;
        said.retain(|known, _| ports(urls).any(|url| url == known));
        let (mut answering, mut online, mut silent) = (Vec::new(), Vec::new(), None);
        for (url, view) in views {
            let View {
                server,
                durability,
                routes,
            } = match view {
                Ok(view) => view,
                Err(error) => {
                    silent = Some(error);
                    continue;
                }
            };
            online.extend(routes);
            let Some(durability) = durability else {
                said.remove(url);
                continue;
            };
            online.push(server.clone());
            let server_id = server.id.clone();
            said.insert(
                url.to_owned(),
                Said {
                    server_id,
                    durability,
                },
            );
            answering.push(server);
        }
        Seen {
            answering,
            online,
            said: said.values().cloned().collect(),
            silent,
        }
    }
}

impl Seen {
    fn durability(mut self, ours: &Peer, cluster: &ClusterInfo) -> Result<Durability, Error> {
        let leader = cluster.leader.as_deref();
        let leader_answers = self
            .answering
            .iter()
            .any(|server| Some(server.name.as_str()) == leader);
        let followers = cluster.replicas.iter().map(|replica| replica.name.as_str());
        let mut found = vec![self.said_by(ours)];
        for name in leader.into_iter().chain(followers) {
            let mut online = self
                .online
                .iter()
                .filter(|server| server.name == name)
                .peekable();
            // The leader says so itself: it is connected with no server of this name. A name that the leader does not
            // know either is that of a server that it was never connected with.
            if online.peek().is_none() && !leader_answers {
                found.push(Err(name.to_owned()));
            }
            found.extend(online.map(|server| self.said_by(server)));
        }
        let mut weakest = Durability::SyncAlways;
        for found in found {
            match found {
                Ok(Durability::SyncAlways) => {}
                Ok(Durability::SyncLazily) => weakest = Durability::SyncLazily,
                Err(name) => return Err(unknown(&name, self.silent.take())),
            }
        }
        Ok(weakest)
    }

    /// Its name where this start of it has said nothing.
    fn said_by(&self, server: &Peer) -> Result<Durability, String> {
        let said = self.said.iter().find(|said| said.server_id == server.id);
        said.map(|said| said.durability)
            .ok_or_else(|| server.name.clone())
    }
}

impl Log {
    /// The same log; appends are refused until [`Log::check_durability`] found that they are synced, and again after
    /// each connection.
    #[must_use]
    pub fn durable_only(&self) -> Self {
        let mut log = self.clone();
        log.checked = Some(Checked::default());
        log
    }

    /// Whether what is acknowledged over the connection as it is now is known to be on disk, where that is asked for.
    pub fn is_durable(&self) -> bool {
        let checked = self.checked.as_ref();
        checked.is_none_or(|checked| checked.is(self.connects()))
    }

    /// Asks the monitoring ports at `urls` about the server that we talk to and every replica of `COMMANDS` that can
    /// store. A port may be silent where its server said before, since its start, how it syncs.
    ///
    /// # Errors
    /// When one of these has not said it: `Misconfigured` where every port answers. Else when the log does not answer.
    pub async fn check_durability(&self, urls: &str) -> Result<Durability, Error> {
        let connection = self.connects();
        let checked = self.checked.clone().unwrap_or_default();
        let seen = checked.look(urls).await;
        // Where the log does not answer, it says nothing against what was found.
        let stream = get_stream(&self.jetstream, COMMANDS).await?;
        let cluster = stream.cached_info().cluster.clone().unwrap_or_default();
        // A connection counts before the client knows whom it goes to; after an answer over it, it does.
        let info = self.connection.client.server_info();
        let ours = Peer {
            id: info.server_id,
            name: info.server_name,
        };
        let found = seen.durability(&ours, &cluster);
        let is_durable = matches!(found, Ok(Durability::SyncAlways));
        let is_the_same = self.connects() == connection;
        checked.set((is_durable && is_the_same).then_some(connection));
        found
    }
}

fn unknown(name: &str, silent: Option<Error>) -> Error {
    let nobody = format!("nothing tells whether the nats-server {name} syncs always");
    match silent {
        Some(silent) => Error::unavailable(nobody, silent),
        None => Error::Misconfigured(format!(
            "{nobody}: its monitoring port is not among those given, or it keeps no streams"
        )),
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PeerInfo;

    use super::*;

    /// Of three servers of which `a` leads and is ours. An id ends in how its server syncs, `?` where it has not said.
    fn found(answering: &[&str], online: &[&str]) -> Option<Durability> {
        let peer = |id: &&str| Peer {
            id: (*id).to_owned(),
            name: id[..1].to_owned(),
        };
        let said = ["a always", "b always", "b lazily", "c always"].map(|id| Said {
            server_id: id.to_owned(),
            durability: if id.ends_with("always") {
                Durability::SyncAlways
            } else {
                Durability::SyncLazily
            },
        });
        let seen = Seen {
            answering: answering.iter().map(peer).collect(),
            online: online.iter().chain(answering).map(peer).collect(),
            said: said.to_vec(),
            silent: None,
        };
        let replica = |name: &str| PeerInfo {
            name: name.to_owned(),
            current: true,
            active: std::time::Duration::ZERO,
            offline: false,
            lag: None,
        };
        let cluster = ClusterInfo {
            leader: Some("a".to_owned()),
            replicas: vec![replica("b"), replica("c")],
            ..ClusterInfo::default()
        };
        seen.durability(&peer(&"a always"), &cluster).ok()
    }

    #[test]
    fn only_a_replica_that_the_leader_is_not_connected_with_does_not_count() {
        let always = Some(Durability::SyncAlways);
        let (a, b, c) = ("a always", "b always", "c always");
        for (answering, online, expected) in [
            (&[a, b, c][..], &[][..], always),
            // Silent ports of servers that said it before.
            (&[a], &[b, c], always),
            (&[b], &[a, c], always),
            (&[], &[], None),
            // A replica is gone, as the leader says.
            (&[a], &[b], always),
            (&[a], &[], always),
            // A replica is gone, as a follower says.
            (&[b], &[a], None),
            // A replica was started anew and has not said it.
            (&[a, c], &["b ?"], None),
            (&[a, c], &[b, "b ?"], None),
            (&[a, c], &["b lazily"], Some(Durability::SyncLazily)),
        ] {
            assert_eq!(
                found(answering, online),
                expected,
                "{answering:?} {online:?}"
            );
        }
    }
}
