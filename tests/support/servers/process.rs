//! A server as a child process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running server; killed when it goes out of scope, and by the system when the test program ends in any other way.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

type Spawn = Box<dyn FnOnce() + Send>;

/// Runs `spawn` on a thread that lives as long as the program: the system ends a child with the *thread* that made it.
fn on_keeper<T: Send + 'static>(spawn: impl FnOnce() -> T + Send + 'static) -> T {
    static KEEPER: OnceLock<Mutex<Sender<Spawn>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, receiver) = channel::<Spawn>();
        std::thread::Builder::new().name("servers".to_owned()).spawn(move || receiver.iter().for_each(|work| work())).unwrap();
        Mutex::new(sender)
    });
    let (answer, done) = channel();
    // A test that failed while it held this changes nothing for the others.
    let keeper = keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    keeper.send(Box::new(move || drop(answer.send(spawn())))).unwrap();
    drop(keeper);
    done.recv().expect("the keeper answers")
}

impl Process {
    /// Starts a program with arguments; its output goes to the end of `log`.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Process {
        Process::spawn(program, arguments, log, Stdio::null(), None)
    }

    /// Starts a program that `scripts/servers.sh` unpacked out of Debian's packages into `home`, with the libraries that came along.
    pub fn unpacked(home: &Path, program: &str, arguments: &[String], log: &Path) -> Process {
        let libraries = fs::read_to_string(home.join("libraries")).unwrap();
        let mut all = vec![format!("LD_LIBRARY_PATH={}", libraries.trim()), home.join(program).display().to_string()];
        all.extend_from_slice(arguments);
        Process::start("env".as_ref(), &all, log)
    }

    /// Starts one that is spoken to: its standard input and output are pipes.
    pub fn piped(program: &Path, arguments: &[String], log: &Path) -> Process {
        Process::spawn(program, arguments, log, Stdio::piped(), Some(Stdio::piped()))
    }

    fn spawn(program: &Path, arguments: &[String], log: &Path, input: Stdio, output: Option<Stdio>) -> Process {
        let errors = File::options().create(true).append(true).open(log).unwrap();
        let output = output.unwrap_or_else(|| errors.try_clone().unwrap().into());
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.stdin(input).stdout(output).stderr(errors);
        let child = on_keeper(move || command.spawn()).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Process { child, log: log.to_owned() }
    }

    /// The pipes of [`Process::piped`].
    pub fn pipes(&mut self) -> (std::process::ChildStdin, std::process::ChildStdout) {
        (self.child.stdin.take().unwrap(), self.child.stdout.take().unwrap())
    }

    /// Waits until its log holds `text` after byte `from`.
    pub fn wait_for(&mut self, text: &str, from: usize) {
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if log.get(from..).is_some_and(|log| log.contains(text)) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < crate::PATIENCE, "{ended:?}: no `{text}` in {}:\n{log}", self.log.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process of a server that a test may end, hold and start again. Empty: it does not run, or it is somebody else's.
#[derive(Debug, Default)]
pub struct Running(Mutex<Option<Process>>);

impl Running {
    /// This one runs now.
    pub fn set(&self, process: Process) {
        *self.process() = Some(process);
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Asks it to end, and waits until it has. `name` is whose process it is.
    pub async fn stop(&self, name: &str) {
        let Some(mut process) = self.process().take() else { return };
        process.signal(Signal::TERM);
        crate::until(&format!("{name} ends"), async || process.has_ended().then_some(())).await;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process().as_ref().expect("it runs").signal(signal);
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0.lock().unwrap()
    }
}

/// What a test may do with a server: `controlled!(Redis, process)`, where `process` leads from the server to its [`Running`].
macro_rules! controlled {
    ($server:ty, $($process:tt)+) => {
        impl $server {
            /// Ends it in the middle of whatever it does.
            pub fn kill(&self) {
                self.$($process)+.kill();
            }

            /// Holds all of its threads.
            pub fn pause(&self) {
                self.$($process)+.signal(rustix::process::Signal::STOP);
            }

            /// Lets them go on.
            pub fn resume(&self) {
                self.$($process)+.signal(rustix::process::Signal::CONT);
            }
        }
    };
}
pub(super) use controlled;
