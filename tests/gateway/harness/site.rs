//! A monolith that serves by itself, on threads; it can be killed in the midst of everything and opened again at its
//! address, which no other test can take meanwhile.

use std::{
    collections::HashMap,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use socket2::SockRef;

use super::{Wire, gateway::eventually};

/// What it does with each of its connections.
type Conduct = Arc<dyn Fn(Wire) + Send + Sync>;

/// A handle on each that stands, by its other end.
type Connections = Arc<Mutex<HashMap<SocketAddr, TcpStream>>>;

/// Dropped, it is killed.
pub(crate) struct Site {
    address: SocketAddr,
    conduct: Conduct,
    listener: Option<TcpListener>,
    connections: Connections,
}

impl Site {
    /// `host` is an address of loopback that is the story's own.
    pub(crate) fn open(host: &str, conduct: impl Fn(Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut site =
            Self { address, conduct: Arc::new(conduct), listener: None, connections: Arc::default() };
        site.listen(listener);
        site
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing listens there, and every connection ends.
    pub(crate) fn kill(&mut self) {
        if let Some(listener) = self.listener.take() {
            // On Linux, whoever accepts is woken.
            drop(SockRef::from(&listener).shutdown(Shutdown::Both));
        }
        for (_, connection) in self.connections.lock().unwrap().drain() {
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// Serves again.
    pub(crate) fn reopen(&mut self) {
        let address = self.address;
        self.listen(eventually("its address", || TcpListener::bind(address)));
    }

    fn listen(&mut self, listener: TcpListener) {
        self.listener = Some(listener.try_clone().unwrap());
        self.connections = Arc::default();
        let (conduct, connections) = (self.conduct.clone(), self.connections.clone());
        thread::spawn(move || {
            while let Ok((stream, client)) = listener.accept() {
                connections.lock().unwrap().insert(client, stream.try_clone().unwrap());
                let (conduct, connections) = (conduct.clone(), connections.clone());
                thread::spawn(move || {
                    conduct(Wire::new(stream));
                    connections.lock().unwrap().remove(&client);
                });
            }
            // Accepted while it was killed.
            for (_, connection) in connections.lock().unwrap().drain() {
                drop(connection.shutdown(Shutdown::Both));
            }
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
