//! What the stories are told with.

pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod modern;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod recorder;
pub(crate) mod rules;
pub(crate) mod secure;
pub(crate) mod shop;
pub(crate) mod site;
pub(crate) mod strict;
pub(crate) mod wire;

pub(crate) use self::{
    gateway::Gateway, origin::Origin, process::Process, rules::Rules, shop::Shop, site::Site, wire::Wire,
};
