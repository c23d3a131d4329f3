//! Resolves mutable names. The node is trusted with the answer.

use kubo_protocol::Resolution;
use pinner_api::{Names, PinnerError, Resolved, async_trait};

use crate::{
    IpfsApiPinner,
    error::{Asked, CallError, Subject},
    request,
    rpc::Connector,
};

#[async_trait]
impl<C: Connector> Names for IpfsApiPinner<C> {
    async fn resolve(&self, name: &str) -> Result<Resolved, PinnerError> {
        // The node would take an empty name for its own key, and read the text after a slash as a path below the name.
        if name.is_empty() || name.contains('/') {
            return Err(PinnerError::NameNotFound {
                name: name.to_owned(),
            });
        }
        let path = format!("/ipns/{name}");
        let call = request::NameResolve(&[("arg", &path), ("recursive", "true")]);
        let fails = |error: CallError| {
            let asked = Asked {
                operation: format!("{} {path}", request::name_of(&call)),
                subject: Subject::Name(name.to_owned()),
            };
            error.about(asked, self.rpc.limits().call_deadline)
        };
        let resolution: Resolution = self.rpc.document(call).await.map_err(fails)?;
        Resolved::try_from(resolution).map_err(|wrong| fails(CallError::Garbled(wrong.to_string())))
    }
}
