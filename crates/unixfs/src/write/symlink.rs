//! Symbolic links, each in one block.

use bytes::Bytes;
use cid::Cid;

use super::{
    data::{block, data},
    writer::{Writer, Written},
};
use crate::{
    attributes::Attributes,
    message::{PbData, Type},
};

impl<S, E> Writer<S>
where
    S: FnMut(Cid, Bytes) -> Result<(), E>,
{
    /// Writes a symbolic link.
    ///
    /// The target is stored unchanged. Readers, including [`decode`](crate::decode), refuse a target that is not UTF-8.
    ///
    /// # Errors
    /// The sink's error.
    pub fn symlink(&mut self, target: &[u8], attributes: Attributes) -> Result<Written, E> {
        let data = PbData {
            data: Some(Bytes::copy_from_slice(target)),
            ..data(Type::Symlink, attributes)
        };
        self.put_dag_pb(block(&data, &[]), 0)
    }
}
