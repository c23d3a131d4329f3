//! The four ways in which every behaviour must hold.

use std::sync::Arc;

use pinner_mock::MockNode;
use pinset::{Access, CacheMode, Pinset};
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
    pub fn cache(self, node: &MockNode) -> CacheMode {
        match self.sharing {
            Sharing::Shared => pinset(node, Self::BUDGET_BYTES)
                .shared()
                .expect("a shared pinset")
                .into(),
            Sharing::Isolated => pinset(node, Self::BUDGET_BYTES)
                .isolated()
                .expect("an isolated pinset")
                .into(),
        }
    }

    /// A builder for a context that is granted the content's root.
    pub fn builder(self, content: &Content) -> IpfsCtxBuilder {
        IpfsCtx::builder(self.cache(&content.node), Access::roots([content.root]))
    }

    /// Another guest's context on the cache of `first`, granted the content's root.
    ///
    /// # Panics
    /// If that cache is isolated: no other guest can share it.
    pub async fn beside(first: &IpfsCtx, content: &Content) -> IpfsCtx {
        let CacheMode::Shared(cache) = first.cache() else {
            panic!("an isolated pinset has one guest");
        };
        let builder = IpfsCtx::builder(Arc::clone(cache), Access::roots([content.root]));
        builder.build().await.expect("a context")
    }

    /// A context that is granted the content's root and nothing else.
    pub async fn ctx(self, content: &Content) -> IpfsCtx {
        self.builder(content).build().await.expect("a context")
    }
}

/// A builder for a pinset over `node`. Staging is below the system's temporary directory, apart from that of the
/// user's own programs.
pub fn pinset(node: &MockNode, budget_bytes: u64) -> Pinset {
    Pinset::new(Arc::new(node.clone()), budget_bytes)
        .lock_dir(std::env::temp_dir().join("wasi-ipfs-tests"))
}

/// Makes four tests of each `async fn name(variant: Variant)`: `name::p1_shared`, `name::p1_isolated`,
/// `name::p2_shared`, `name::p2_isolated`.
#[macro_export]
macro_rules! four_variants {
    ($($name:ident)*) => {$(
        mod $name {
            $crate::four_variants!(@one $name p1_shared One Shared);
            $crate::four_variants!(@one $name p1_isolated One Isolated);
            $crate::four_variants!(@one $name p2_shared Two Shared);
            $crate::four_variants!(@one $name p2_isolated Two Isolated);
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
