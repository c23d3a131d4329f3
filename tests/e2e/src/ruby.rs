//! Ruby as its project publishes it for WASI: no command, but a library for hosts that are JavaScript. Its functions
//! are named by an early draft of the component model. This file is such a host, without JavaScript.

use wasmtime::{
    Instance, Linker, Memory, Module, Result, Store, ensure, error::Context as _, format_err,
};

/// Starts the interpreter with a command line.
const INIT: &str = "ruby-init: func(args: list<string>) -> ()";
/// Runs a piece of program. Returns a value and a status, which is not zero if the piece raised.
const EVAL: &str = "rb-eval-string-protect: func(str: string) -> tuple<handle<rb-abi-value>, s32>";

/// Whether a module is this Ruby.
pub(crate) fn is(module: &Module) -> bool {
    module.get_export(INIT).is_some()
}

/// Defines what the module imports beside WASI. A value of Ruby's is a number that only Ruby understands; everything
/// that is for JavaScript traps.
pub(crate) fn link<T: 'static>(linker: &mut Linker<T>, module: &Module) -> Result<()> {
    for name in ["resource_new_rb-abi-value", "resource_get_rb-abi-value"] {
        linker.func_wrap("canonical_abi", name, |value: i32| value)?;
    }
    linker.define_unknown_imports_as_traps(module)
}

/// Runs `ruby ARGUMENTS…`, where the program is the word behind `-e`: this interface only runs what it is handed.
pub(crate) async fn run<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    arguments: &[String],
) -> Result<std::result::Result<(), ()>> {
    let program = arguments.iter().skip_while(|word| *word != "-e").nth(1);
    let program = program.context("ruby needs -e PROGRAM")?;
    let initialize = instance.get_typed_func::<(), ()>(&mut *store, "_initialize")?;
    initialize.call_async(&mut *store, ()).await?;

    let mut words = Vec::new();
    for word in arguments {
        // Ruby takes them for strings of C.
        let (at, length) = put(store, instance, format!("{word}\0").as_bytes(), 1).await?;
        words.extend_from_slice(&at.to_le_bytes());
        words.extend_from_slice(&length.to_le_bytes());
    }
    let (at, _) = put(store, instance, &words, 4).await?;
    let init = instance.get_typed_func::<(i32, i32), ()>(&mut *store, INIT)?;
    let count = i32::try_from(arguments.len())?;
    init.call_async(&mut *store, (at, count)).await?;

    if eval(store, instance, program).await? == 0 {
        return Ok(Ok(()));
    }
    eval(store, instance, "$stderr.puts $!.full_message").await?;
    Ok(Err(()))
}

/// Runs a piece of program, and returns its status.
async fn eval<T: Send>(store: &mut Store<T>, instance: &Instance, piece: &str) -> Result<i32> {
    let (at, length) = put(store, instance, piece.as_bytes(), 1).await?;
    let eval = instance.get_typed_func::<(i32, i32), i32>(&mut *store, EVAL)?;
    let answer = eval.call_async(&mut *store, (at, length)).await?;
    let mut status = [0; 4];
    let at = usize::try_from(answer)? + 4;
    memory(store, instance)?.read(&*store, at, &mut status)?;
    Ok(i32::from_le_bytes(status))
}

/// Puts bytes into the guest's memory, which Ruby then owns. Returns where they are, and their length.
async fn put<T: Send>(
    store: &mut Store<T>,
    instance: &Instance,
    bytes: &[u8],
    alignment: i32,
) -> Result<(i32, i32)> {
    let length = i32::try_from(bytes.len())?;
    let allocate =
        instance.get_typed_func::<(i32, i32, i32, i32), i32>(&mut *store, "cabi_realloc")?;
    let at = allocate
        .call_async(&mut *store, (0, 0, alignment, length))
        .await?;
    ensure!(at != 0 || length == 0, "Ruby has no memory left");
    memory(store, instance)?.write(&mut *store, usize::try_from(at)?, bytes)?;
    Ok((at, length))
}

fn memory<T>(store: &mut Store<T>, instance: &Instance) -> Result<Memory> {
    let memory = instance.get_memory(store, "memory");
    memory.ok_or_else(|| format_err!("Ruby exports its memory"))
}
