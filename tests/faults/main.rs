//! The faults of the simulator against the clients, over real sockets.

#[cfg(test)]
mod proxy;
#[cfg(test)]
mod run;
#[cfg(test)]
mod services;
#[cfg(test)]
mod wire;
