//! An honest program: uses what candidates use, and says so at the end.
//!
//! No module of the test binary: it is compiled by the tests, once.

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Read, Write};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

fn depth(n: u64) -> u64 {
    let room = std::hint::black_box([n; 16]);
    if n == 0 {
        0
    } else {
        depth(n - 1) + room[3] / room[7]
    }
}

fn main() {
    let mut words: HashMap<String, usize> = HashMap::new();
    for word in "a b a c".split(' ') {
        *words.entry(word.into()).or_default() += 1;
    }
    assert_eq!(words["a"], 2);

    let numbers: Vec<_> = (0..16)
        .map(|n| std::thread::Builder::new().name(format!("worker {n}")).spawn(move || n * n).unwrap())
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(numbers.iter().sum::<i32>(), 1240);
    let sum = std::thread::scope(|scope| scope.spawn(|| numbers.iter().sum::<i32>()).join().unwrap());
    assert_eq!(sum, 1240);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(7).unwrap());
    assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Ok(7));
    let pair = Arc::new((Mutex::new(()), Condvar::new()));
    let guard = pair.0.lock().unwrap();
    assert!(pair.1.wait_timeout(guard, Duration::from_millis(1)).unwrap().1.timed_out());
    assert!(std::thread::available_parallelism().is_ok());

    std::panic::set_hook(Box::new(|_| ()));
    assert!(std::panic::catch_unwind(|| [1, 2][std::hint::black_box(2)]).is_err());
    let _ = std::panic::take_hook();
    assert!(std::panic::catch_unwind(|| panic!("seen on standard error")).is_err());

    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    assert!(begun.elapsed() >= Duration::from_millis(2));
    assert!(SystemTime::now() > SystemTime::UNIX_EPOCH);

    // Some 5 MiB of the main thread's stack, and more on a thread that asked for it.
    assert_eq!(depth(20_000), 20_000);
    let deep = std::thread::Builder::new().stack_size(64 << 20).spawn(|| depth(100_000)).unwrap();
    assert_eq!(deep.join().unwrap(), 100_000);
    let big: Vec<u64> = (0..100_000).collect();
    assert_eq!(big.iter().copied().collect::<HashSet<_>>().len() / 10, big.len() / 10);

    // Asking is allowed, the answer is no.
    assert!(!std::io::stdout().is_terminal());
    assert!(std::env::current_dir().is_err());
    assert!(std::fs::read("/etc/passwd").is_err());
    assert!(std::env::vars().eq([("GREETING".to_owned(), "hello".to_owned())]));

    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).unwrap();
    std::io::stdout().write_all(&input).unwrap();
    let copied = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).unwrap();
    println!("{} {copied} fine", std::env::args().nth(1).unwrap());
}
