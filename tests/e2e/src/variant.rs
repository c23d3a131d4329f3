//! The four ways in which every behaviour must hold.

use std::sync::Arc;

use pinner_mock::MockNode;
use pinset::{Access, CacheMode, PinsetBuilder};
use wasi_ipfs_fs::{IpfsCtx, IpfsCtxBuilder};

use crate::{Content, Guest, Preview, Program};

/// Whether guests share a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One cache for all of a host's guests.
    Shared,
    /// A cache for one guest alone.
    Isolated,
}

/// A preview and a way to share.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Which WASI the guest is built for.
    pub preview: Preview,
    /// Whether guests share a cache.
    pub sharing: Sharing,
}

impl Variant {
    /// The budget of [`cache`](Self::cache) in bytes: enough for the whole sample.
    pub const BUDGET_BYTES: u64 = 64 * 1024 * 1024;

    /// The guest, built for this preview.
    pub fn program(self, guest: Guest) -> Program {
        guest.program(self.preview)
    }

    /// A cache over `node`.
    pub async fn cache(self, node: &MockNode) -> CacheMode {
        let pinset = pinset(node, Self::BUDGET_BYTES);
        match self.sharing {
            Sharing::Shared => pinset.shared().await,
            Sharing::Isolated => pinset.isolated().await,
        }
        .expect("a pinset")
    }

    /// A builder for a context that is granted the content's root.
    pub async fn builder(self, content: &Content) -> IpfsCtxBuilder {
        let cache = self.cache(&content.node).await;
        IpfsCtx::builder(cache, Access::roots([content.root]))
    }

    /// Another guest's context on the cache of `first`, granted the content's root.
    ///
    /// # Panics
    /// If that cache is isolated: no other guest can share it.
    pub async fn beside(first: &IpfsCtx, content: &Content) -> IpfsCtx {
        let cache = first.cache();
        assert!(
            matches!(cache, CacheMode::Shared(_)),
            "an isolated pinset has one guest"
        );
        let builder = IpfsCtx::builder(cache.clone(), Access::roots([content.root]));
        builder.build().await.expect("a context")
    }

    /// A context that is granted the content's root and nothing else.
    pub async fn ctx(self, content: &Content) -> IpfsCtx {
        self.builder(content)
            .await
            .build()
            .await
            .expect("a context")
    }
}

/// A builder for a pinset over `node`. Staging is below the system's temporary directory, apart from that of the
/// user's own programs.
pub fn pinset(node: &MockNode, budget_bytes: u64) -> PinsetBuilder {
    PinsetBuilder::new(Arc::new(node.clone()), budget_bytes)
        .lock_dir(std::env::temp_dir().join("wasi-ipfs-tests"))
}

/// Makes four tests of each `async fn name(variant: Variant)`: `name::p1_shared`, `name::p1_isolated`,
/// `name::p2_shared`, `name::p2_isolated`.
#[macro_export]
macro_rules! each_variant {
    ($($name:ident)*) => {$(
        mod $name {
            $crate::each_variant!(@one $name p1_shared One Shared);
            $crate::each_variant!(@one $name p1_isolated One Isolated);
            $crate::each_variant!(@one $name p2_shared Two Shared);
            $crate::each_variant!(@one $name p2_isolated Two Isolated);
        }
    )*};
    (@one $name:ident $test:ident $preview:ident $sharing:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$name($crate::Variant {
                preview: $crate::Preview::$preview,
                sharing: $crate::Sharing::$sharing,
            })
            .await;
        }
    };
}
