//! Tests every method without a guest in between: a descriptor of `/ipfs` answers like a native, read-only preopen of
//! the same tree. The few differences are listed here, each with its reason.

mod listings;
mod streams;

use std::time::Duration;

use e2e::{Preview, Sample, Sharing, State, Variant};
use pinner_api::PinnerError;
use pinner_mock::{Fault, MockNode, When};
use pinset::{Access, ContentPath};
use wasi_ipfs_fs::{
    IpfsCtx,
    p2::{IpfsFilesystemView, IpfsPreopensView},
};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{
    FsPerms, WasiCtx,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{
        FsResult, ReaddirIterator, StreamError,
        bindings::filesystem::{
            preopens::Host as _,
            types::{
                Advice, DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptor,
                HostDirectoryEntryStream, NewTimestamp, OpenFlags, PathFlags,
            },
        },
    },
};

type Fd = Resource<Descriptor>;

/// A guest's state with the sample natively at `/native` and through IPFS, as its bindings would see it.
struct Guest {
    state: State,
    /// The descriptors of the sample's root.
    native: u32,
    ours: u32,
}

/// Borrows a descriptor: the bindings lend one for each call.
fn fd(rep: u32) -> Fd {
    Resource::new_borrow(rep)
}

/// Closes a descriptor. Both traits have a method called `drop`.
fn close(view: &mut IpfsFilesystemView<'_>, fd: Fd) -> wasmtime::Result<()> {
    HostDescriptor::drop(view, fd)
}

fn close_listing(view: &mut IpfsFilesystemView<'_>, stream: Resource<ReaddirIterator>) {
    HostDirectoryEntryStream::drop(view, stream).expect("closed");
}

fn code<T>(result: FsResult<T>) -> Result<T, ErrorCode> {
    result.map_err(|error| error.downcast().expect("an error, no trap"))
}

impl Guest {
    async fn new(sample: &Sample) -> Self {
        let variant = Variant {
            preview: Preview::Two,
            sharing: Sharing::Shared,
        };
        let mut wasi = WasiCtx::builder();
        wasi.preopened_dir(sample.local(), "/native", FsPerms::ReadOnly)
            .expect("a preopen");
        let mut guest = Self {
            state: State {
                wasi: wasi.build(),
                table: ResourceTable::new(),
                ipfs: Some(variant.ctx(&sample.content).await),
            },
            native: 0,
            ours: 0,
        };
        let ipfs = guest.state.ipfs.clone();
        let mut preopens = IpfsPreopensView {
            wasi: guest.state.filesystem(),
            ipfs,
        };
        let directories = preopens.get_directories().expect("preopens");
        let [(native, _), (ipfs, name)] = &directories[..] else {
            panic!("{directories:?}");
        };
        assert_eq!(name, "/ipfs");
        guest.native = native.rep();
        guest.ours = guest
            .open(ipfs.rep(), &sample.content.root.to_string())
            .await;
        guest
    }

    fn view(&mut self) -> IpfsFilesystemView<'_> {
        let ipfs = self.state.ipfs.clone();
        IpfsFilesystemView::new(self.state.filesystem(), ipfs.as_ref())
    }

    /// Opens an existing node for reading.
    async fn open(&mut self, base: u32, path: &str) -> u32 {
        let (path_flags, flags) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
        let opened = self
            .view()
            .open_at(
                fd(base),
                path_flags,
                path.to_owned(),
                OpenFlags::empty(),
                flags,
            )
            .await;
        code(opened)
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
            .rep()
    }

    /// Opens `path` natively and through IPFS.
    async fn opens(&mut self, path: &str) -> [u32; 2] {
        [
            self.open(self.native, path).await,
            self.open(self.ours, path).await,
        ]
    }
}

const PATHS: [&str; 26] = [
    "hello.txt",
    "hello.txt/",
    "hello.txt/x",
    "hello.txt/..",
    "empty",
    "docs",
    "docs/",
    "docs/.",
    "docs//readme.md",
    "docs/../hello.txt",
    "docs/deep/er/../../readme.md",
    "nope",
    "nope/x",
    "nope/..",
    ".",
    "./",
    "",
    "..",
    "../x",
    "docs/../..",
    "/",
    "/hello.txt",
    "links/file",
    "links/dir/readme.md",
    "links/loop",
    "links/nowhere",
];

/// Links that are examined with and without following.
const LINKS: [&str; 9] = [
    "links/file",
    "links/dir",
    "links/dir/",
    "links/up",
    "links/chain",
    "links/through-file",
    "links/out",
    "links/absolute",
    "links/loop",
];

fn all_of<T: Copy + std::ops::BitOr<Output = T>>(none: T, flags: &[T]) -> Vec<T> {
    let mut all = vec![none];
    for flag in flags {
        all.extend(all.clone().into_iter().map(|some| some | *flag));
    }
    all
}

#[tokio::test]
async fn open_answers_as_natively() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let open_flags = [
        OpenFlags::CREATE,
        OpenFlags::DIRECTORY,
        OpenFlags::EXCLUSIVE,
        OpenFlags::TRUNCATE,
    ];
    let flags = [
        DescriptorFlags::READ,
        DescriptorFlags::WRITE,
        DescriptorFlags::MUTATE_DIRECTORY,
        DescriptorFlags::DATA_INTEGRITY_SYNC,
    ];
    for path in PATHS.into_iter().chain(LINKS) {
        for path_flags in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
            for open_flags in all_of(OpenFlags::empty(), &open_flags) {
                for flags in all_of(DescriptorFlags::empty(), &flags) {
                    let mut answers = Vec::new();
                    for base in [guest.native, guest.ours] {
                        let mut view = guest.view();
                        let opened = view
                            .open_at(fd(base), path_flags, path.to_owned(), open_flags, flags)
                            .await;
                        let answer = match code(opened) {
                            Err(code) => Err(code),
                            Ok(opened) => {
                                let kind = code(view.get_type(fd(opened.rep())).await);
                                let flags = code(view.get_flags(fd(opened.rep())).await);
                                close(&mut view, opened).expect("closed");
                                Ok((kind, flags))
                            }
                        };
                        answers.push(answer);
                    }
                    let what = format!("{path:?} {path_flags:?} {open_flags:?} {flags:?}");
                    // A program that takes a lock by an exclusive creation must learn that the lock is taken.
                    let exclusive = open_flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
                    if exclusive && answers[1] == Err(ErrorCode::Exist) {
                        assert_eq!(answers[0], Err(ErrorCode::NotPermitted), "{what}");
                        let ours = fd(guest.ours);
                        let there = guest
                            .view()
                            .stat_at(ours, PathFlags::empty(), path.to_owned())
                            .await;
                        assert!(there.is_ok(), "{what}");
                        continue;
                    }
                    assert_eq!(answers[0], answers[1], "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn exclusive_creation_says_what_exists() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let ours = guest.ours;
    for (path, wanted) in [
        ("hello.txt", ErrorCode::Exist),
        ("docs", ErrorCode::Exist),
        ("links/nowhere", ErrorCode::Exist),
        ("nope", ErrorCode::NotPermitted),
        ("nope/x", ErrorCode::NotPermitted),
    ] {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let (write, path_flags) = (DescriptorFlags::WRITE, PathFlags::SYMLINK_FOLLOW);
        let opened = guest
            .view()
            .open_at(fd(ours), path_flags, path.to_owned(), flags, write)
            .await;
        assert_eq!(code(opened).map(|fd| fd.rep()), Err(wanted), "{path}");
    }
}

#[tokio::test]
async fn paths_answer_as_natively() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let (native, ours) = (guest.native, guest.ours);
    for path in PATHS.into_iter().chain(LINKS) {
        for flags in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
            let what = format!("{path:?} {flags:?}");
            let mut answers = Vec::new();
            for base in [native, ours] {
                let mut view = guest.view();
                let stat = code(view.stat_at(fd(base), flags, path.to_owned()).await);
                let stat = stat.map(|stat| {
                    // A directory in a DAG has no size.
                    let sized = stat.type_ != DescriptorType::Directory;
                    (stat.type_, sized.then_some(stat.size))
                });
                let hash = code(
                    view.metadata_hash_at(fd(base), flags, path.to_owned())
                        .await,
                );
                let target = code(view.readlink_at(fd(base), path.to_owned()).await);
                answers.push((stat, hash.map(|_| ()), target));
            }
            // Natively, a trailing slash after a file is ignored if symlinks are not followed; POSIX requires a
            // directory.
            if path == "hello.txt/" && flags == PathFlags::empty() {
                assert_eq!(answers[1].0, Err(ErrorCode::NotDirectory), "{what}");
                continue;
            }
            assert_eq!(answers[0], answers[1], "{what}");
        }
    }
}

#[tokio::test]
async fn what_writes_is_refused_as_natively() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let files = guest.opens("hello.txt").await;
    let dirs = guest.opens("docs").await;
    let mut answers: [Vec<(&str, Result<(), ErrorCode>)>; 2] = Default::default();
    for (side, answers) in answers.iter_mut().enumerate() {
        let mut view = guest.view();
        let now = NewTimestamp::Now;
        for (name, rep) in [("file", files[side]), ("dir", dirs[side])] {
            let path = || "readme.md".to_owned();
            let new = || "new".to_owned();
            let follow = PathFlags::SYMLINK_FOLLOW;
            let none = PathFlags::empty();
            let mut push = |call, answer: FsResult<()>| answers.push((call, code(answer)));
            push(name, Ok(()));
            push("set_size", view.set_size(fd(rep), 1).await);
            push("set_times", view.set_times(fd(rep), now, now).await);
            push("write", view.write(fd(rep), vec![1], 0).await.map(drop));
            push(
                "write_via_stream",
                view.write_via_stream(fd(rep), 0).map(drop),
            );
            push(
                "append_via_stream",
                view.append_via_stream(fd(rep)).map(drop),
            );
            push(
                "set_times_at",
                view.set_times_at(fd(rep), follow, path(), now, now).await,
            );
            push(
                "create_directory_at",
                view.create_directory_at(fd(rep), new()).await,
            );
            push(
                "remove_directory_at",
                view.remove_directory_at(fd(rep), path()).await,
            );
            push("unlink_file_at", view.unlink_file_at(fd(rep), path()).await);
            push("symlink_at", view.symlink_at(fd(rep), path(), new()).await);
            push(
                "link_at",
                view.link_at(fd(rep), none, path(), fd(rep), new()).await,
            );
            push(
                "link_at, following",
                view.link_at(fd(rep), follow, path(), fd(rep), new()).await,
            );
            push(
                "rename_at",
                view.rename_at(fd(rep), path(), fd(rep), new()).await,
            );
            push(
                "rename_at to a file",
                view.rename_at(fd(rep), path(), fd(files[side]), new())
                    .await,
            );
            push("sync", view.sync(fd(rep)).await);
            push("sync_data", view.sync_data(fd(rep)).await);
            for advice in [
                Advice::Normal,
                Advice::Sequential,
                Advice::Random,
                Advice::WillNeed,
                Advice::DontNeed,
                Advice::NoReuse,
            ] {
                push("advise", view.advise(fd(rep), 0, 4, advice).await);
            }
            push(
                "read_directory",
                view.read_directory(fd(rep)).await.map(drop),
            );
        }
    }
    assert_eq!(answers[0], answers[1]);
    let refused = answers[1]
        .iter()
        .filter(|(_, answer)| *answer == Err(ErrorCode::NotPermitted));
    assert_eq!(refused.count(), 14);
}

#[tokio::test]
async fn between_ours_and_native_nothing_moves_and_nothing_traps() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let files = guest.opens("hello.txt").await;
    let dirs = [guest.native, guest.ours];
    let mut view = guest.view();
    for (from, to) in [(0, 1), (1, 0)] {
        for (one, other, wanted) in [
            (dirs[from], dirs[to], ErrorCode::CrossDevice),
            (dirs[from], files[to], ErrorCode::NotDirectory),
            (files[from], dirs[to], ErrorCode::NotDirectory),
        ] {
            let (old, new) = ("hello.txt".to_owned(), "new".to_owned());
            let renamed = view
                .rename_at(fd(one), old.clone(), fd(other), new.clone())
                .await;
            assert_eq!(code(renamed), Err(wanted));
            let linked = view
                .link_at(fd(one), PathFlags::empty(), old, fd(other), new)
                .await;
            assert_eq!(code(linked), Err(wanted));
        }
        let same = view.is_same_object(fd(files[from]), fd(files[to])).await;
        assert!(!same.expect("no trap"));
        // An unknown number is a bug of the guest's host. It traps, as it does without the adapter.
        assert!(
            view.is_same_object(fd(files[from]), fd(9999))
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn reads_answer_as_natively() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let end = Sample::LARGE_BYTES as u64;
    for (path, end) in [("large.bin", end), ("hello.txt", 13), ("empty", 0)] {
        let [native, ours] = guest.opens(path).await;
        for offset in [
            0,
            1,
            (1 << 20) - 3,
            1 << 20,
            end.saturating_sub(1),
            end,
            end + 1,
            1 << 60,
        ] {
            for len in [0, 1, 7, 4096, 65536, 65537, 1 << 30, u64::MAX] {
                let mut view = guest.view();
                let what = format!("{path}: {len} at {offset}");
                let wanted = code(view.read(fd(native), len, offset).await).expect("native");
                let given = code(view.read(fd(ours), len, offset).await).expect("ours");
                assert!(given == wanted, "{what}: {} {}", given.0.len(), given.1);
            }
        }
        let dir = guest.open(guest.ours, "docs").await;
        // Natively this is "bad descriptor". POSIX, and wasmtime-wasi's streams, say that it is a directory.
        let read = code(guest.view().read(fd(dir), 1, 0).await);
        assert_eq!(read, Err(ErrorCode::IsDirectory));
        let stream = guest.view().read_via_stream(fd(dir), 0).map(drop);
        assert_eq!(code(stream), Err(ErrorCode::IsDirectory));
    }
}

#[tokio::test]
async fn identity_comes_from_the_content() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let ours = guest.ours;
    let [file, again] = [
        guest.open(ours, "hello.txt").await,
        guest.open(ours, "links/file").await,
    ];
    let other = guest.open(ours, "empty").await;
    let mut view = guest.view();
    assert!(
        view.is_same_object(fd(file), fd(again))
            .await
            .expect("no trap")
    );
    assert!(
        !view
            .is_same_object(fd(file), fd(other))
            .await
            .expect("no trap")
    );
    let hash = code(view.metadata_hash(fd(file)).await).expect("a hash");
    let named = view
        .metadata_hash_at(fd(ours), PathFlags::empty(), "hello.txt".into())
        .await;
    let named = code(named).expect("a hash");
    assert_eq!((hash.lower, hash.upper), (named.lower, named.upper));

    let another = Sample::new();
    let mut elsewhere = Guest::new(&another).await;
    let base = elsewhere.ours;
    let rep = elsewhere.open(base, "hello.txt").await;
    let there = code(elsewhere.view().metadata_hash(fd(rep)).await).expect("a hash");
    assert_eq!(
        (hash.lower, hash.upper),
        (there.lower, there.upper),
        "the same on every host"
    );
}

/// A listing, and the hash and stat of every entry, fetch the directory and no child.
#[tokio::test]
async fn a_listing_fetches_no_child() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    let dir = guest.open(guest.ours, "many").await;
    sample.content.node.clear_log();
    let mut view = guest.view();
    let stream = code(view.read_directory(fd(dir)).await).expect("a listing");
    let mut names = Vec::new();
    while let Some(entry) = code(
        view.read_directory_entry(Resource::new_borrow(stream.rep()))
            .await,
    )
    .expect("an entry")
    {
        assert_eq!(
            entry.type_,
            DescriptorType::RegularFile,
            "a raw link is a file"
        );
        names.push(entry.name);
    }
    close_listing(&mut view, stream);
    assert_eq!(names.len(), 200);
    for name in names {
        for flags in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
            code(view.metadata_hash_at(fd(dir), flags, name.clone()).await).expect("a hash");
            code(view.stat_at(fd(dir), flags, name.clone()).await).expect("a stat");
        }
    }
    assert_eq!(sample.content.node.distinct_blocks_asked(), 0);
}

/// Closing removes our entries from the table, and never a native one.
#[tokio::test]
async fn closing_frees_the_table_and_only_ours() {
    let sample = Sample::new();
    let mut guest = Guest::new(&sample).await;
    for base in [guest.native, guest.ours] {
        let before = guest.state.table.is_empty();
        assert!(!before);
        let dir = guest.open(base, "docs").await;
        let mut view = guest.view();
        let stream = code(view.read_directory(fd(dir)).await).expect("a listing");
        let rep = stream.rep();
        close_listing(&mut view, stream);
        assert!(
            view.read_directory_entry(Resource::new_borrow(rep))
                .await
                .is_err(),
            "closed twice"
        );
        close(&mut view, Resource::new_own(dir)).expect("closed");
        assert!(
            close(&mut view, Resource::new_own(dir)).is_err(),
            "closed twice"
        );
    }
    let (native, ours) = (guest.native, guest.ours);
    let mut view = guest.view();
    assert!(view.stat(fd(native)).await.is_ok() && view.stat(fd(ours)).await.is_ok());
    for rep in [native, ours] {
        close(&mut view, Resource::new_own(rep)).expect("closed");
    }
}

#[tokio::test]
async fn a_context_that_cannot_be_is_refused() {
    let sample = Sample::new();
    let variant = Variant {
        preview: Preview::Two,
        sharing: Sharing::Shared,
    };
    let build = async |mounts: &[(&str, String)]| {
        let mut builder =
            IpfsCtx::builder(variant.cache(&sample.content.node).await, Access::none());
        for (guest, path) in mounts {
            builder = builder.mount(*guest, path.parse::<ContentPath>().expect("a path"));
        }
        let shown = format!("{builder:?}");
        assert!(mounts.iter().all(|(guest, _)| shown.contains(guest)));
        builder
            .build()
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let root = || sample.path("");
    assert_eq!(build(&[("/data", root()), ("/more", root())]).await, Ok(()));
    for (mounts, said) in [
        (vec![("data", root())], "data"),
        (vec![("/a", root()), ("/a/", root())], "another mount"),
        (vec![("/ipfs", root())], "/ipfs"),
        (vec![("/data", sample.path("hello.txt"))], "not a directory"),
        (vec![("/data", sample.path("nope"))], "nope"),
    ] {
        let error = build(&mounts).await.expect_err(said);
        assert!(error.contains(said), "{error}");
    }
    let mut limits = pinset::Limits::default();
    limits.open_handles = 1;
    let few = variant
        .builder(&sample.content)
        .await
        .limits(limits)
        .build()
        .await;
    assert!(matches!(
        few,
        Err(wasi_ipfs_fs::Error::TooFewHandles {
            limit: 1,
            preopens: 1
        })
    ));
}
