//! Inputs for properties: boundary cases first, then random ones, then smaller ones after a failure.
//!
//! Deterministic: the same seed gives the same inputs. Knows nothing of processes or reports.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Random inputs tried after the boundary cases.
const CASES: usize = 200;
/// Most combinations of boundary cases.
const COMBINATIONS: usize = 64;
/// Most inputs looked at, with those that `assume` passes over.
const ATTEMPTS: usize = 10 * CASES;
/// Most evaluations spent on a smaller counterexample.
const SHRINKS: usize = 400;
/// Longest time spent on a smaller counterexample.
const SHRINK_TIME: Duration = Duration::from_millis(500);
/// Longest value shown, in bytes.
const VALUE: usize = 1 << 10;
/// How deep values of recursive types are.
const DEPTH: usize = 4;

/// A type of which inputs can be generated. `L` is any type of the crate that implements this for types of others.
#[diagnostic::on_unimplemented(message = "inputs of type `{Self}` can't be generated", label = "no generator")]
pub trait Generate<L>: Clone {
    /// Values at the edges, the simplest first. `depth` bounds recursive types.
    fn boundary(depth: usize) -> Vec<Self>;
    /// Any value; collections have at most `size` elements.
    fn random(random: &mut Random, size: usize, depth: usize) -> Self;
    /// Simpler values, the simplest first.
    fn shrink(&self) -> Vec<Self> {
        Vec::new()
    }
}

/// A source of numbers that look random.
pub struct Random(u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of `all`, which is not empty.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers where this thread panicked.
pub fn note_panic(place: String) {
    PANIC.with(|slot| *slot.borrow_mut() = Some(place));
}

/// Where this thread panicked last, if that was noted.
pub fn take_panic() -> Option<String> {
    PANIC.with(|slot| slot.borrow_mut().take())
}

/// The message of a panic.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).to_string(),
        _ => "a panic without a message".to_string(),
    }
}

/// Stands for the values of a type.
pub struct Of<T>(std::marker::PhantomData<T>);

/// The values of `T`, of which inputs can be generated.
pub fn of<L, T: Generate<L>>() -> Of<T> {
    Of(std::marker::PhantomData)
}

/// Variables of a property: a tuple of [`Of`].
pub trait Variables {
    /// The tuple of their values.
    type Values;
}

enum Case {
    Holds,
    Discarded,
    Fails(Option<String>),
}

fn try_case<V>(test: &impl Fn(V) -> Option<bool>, values: V) -> Case {
    take_panic();
    match catch_unwind(AssertUnwindSafe(|| test(values))) {
        Ok(Some(true)) => Case::Holds,
        Ok(Some(false)) => Case::Fails(None),
        Ok(None) => Case::Discarded,
        Err(payload) => {
            let place = take_panic().map(|place| format!(" at {place}")).unwrap_or_default();
            Case::Fails(Some(format!("panicked{place}: {}", panic_message(&*payload))))
        }
    }
}

/// Tries `test` on generated values; `None` from it passes a value over.
///
/// `Ok` may hold a remark; `Err` is the smallest counterexample found, as `show` writes its values.
pub fn forall<L, M: Variables>(
    seed: u64,
    _variables: M,
    show: impl Fn(&M::Values) -> String,
    test: impl Fn(M::Values) -> Option<bool>,
) -> Result<Option<String>, String>
where
    M::Values: Generate<L>,
{
    let mut random = Random(seed);
    let mut boundary = M::Values::boundary(DEPTH).into_iter();
    let (mut tried, mut attempts, mut after) = (0, 0, 0);
    let found = loop {
        let values = match boundary.next() {
            Some(values) => values,
            None if after >= CASES || attempts >= ATTEMPTS => break None,
            None => M::Values::random(&mut random, 1 + attempts % 40, DEPTH),
        };
        let is_boundary = boundary.len() > 0;
        attempts += 1;
        match try_case(&test, values.clone()) {
            Case::Discarded => {}
            Case::Holds => {
                tried += 1;
                after += usize::from(!is_boundary);
            }
            Case::Fails(panic) => break Some((values, panic)),
        }
    };
    let Some((mut values, mut panic)) = found else {
        return match tried {
            0 => Err(format!("`assume` passed over all {attempts} inputs: nothing was tried")),
            1..20 if attempts >= ATTEMPTS => {
                Ok(Some(format!("`assume` passed over all but {tried} of {attempts} inputs")))
            }
            _ => Ok(None),
        };
    };
    let start = Instant::now();
    let mut steps = 0;
    'smaller: loop {
        for candidate in values.shrink() {
            if steps >= SHRINKS || start.elapsed() > SHRINK_TIME {
                break 'smaller;
            }
            steps += 1;
            if let Case::Fails(with) = try_case(&test, candidate.clone()) {
                (values, panic) = (candidate, with);
                continue 'smaller;
            }
        }
        break;
    }
    let end = panic.unwrap_or_else(|| "gives false".to_string());
    Err(format!("{}\n{end}", show(&values)))
}

/// Runs [`forall`] and panics with the counterexample, as a plain test does.
pub fn hold<L, M: Variables>(
    seed: u64,
    variables: M,
    show: impl Fn(&M::Values) -> String,
    test: impl Fn(M::Values) -> Option<bool>,
) where
    M::Values: Generate<L>,
{
    if let Err(counterexample) = forall::<L, M>(seed, variables, show, test) {
        panic!("the property does not hold:\n{counterexample}");
    }
}

/// Numbers around which integers break.
const EDGES: [i128; 26] = [
    0,
    1,
    2,
    -1,
    3,
    7,
    8,
    10,
    16,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    -128,
    255,
    256,
    1000,
    -2,
    -10,
    1 << 16,
    1 << 31,
    1 << 32,
    (1 << 53) + 1,
];

macro_rules! integers {
    ($($int:ident)*) => {$(
        impl<L> Generate<L> for $int {
            fn boundary(_: usize) -> Vec<Self> {
                let edges: Vec<$int> = EDGES.iter().filter_map(|edge| $int::try_from(*edge).ok()).collect();
                let mut all = edges[..3].to_vec();
                all.extend([$int::MAX, $int::MIN, $int::MAX - 1, $int::MIN + 1]);
                all.extend(&edges[3..]);
                let mut seen = Vec::new();
                all.retain(|value| !seen.contains(value) && { seen.push(*value); true });
                all
            }

            fn random(random: &mut Random, size: usize, _: usize) -> Self {
                let bits = (u128::from(random.next()) << 64) | u128::from(random.next());
                match random.below(4) {
                    0 => bits as $int,
                    1 => (bits >> random.below(128)) as $int,
                    2 => (bits % (1 + size as u128)) as $int,
                    _ => {
                        let small = $int::try_from((bits % (1 + size as u128)) as i128);
                        let zero: $int = 0;
                        zero.checked_sub(small.unwrap_or(1)).unwrap_or((bits % 100) as $int)
                    }
                }
            }

            fn shrink(&self) -> Vec<Self> {
                let value = *self;
                let mut all = Vec::new();
                if value != 0 {
                    all.push(0);
                    all.extend((0 as $int).checked_sub(value).filter(|positive| *positive > 0));
                    all.extend([value / 2, value - value / 4, value - value / 8]);
                    all.push(if value > 0 { value - 1 } else { value + 1 });
                    all.retain(|smaller| *smaller != value);
                }
                all
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

macro_rules! floats {
    ($($float:ident $bits:ident)*) => {$(
        impl<L> Generate<L> for $float {
            fn boundary(_: usize) -> Vec<Self> {
                vec![
                    0.0, 1.0, -1.0, 0.5, -0.0, 2.0, 0.1, -0.5, 1.5, 2.5, 3.0, 10.0, 100.0, -100.0, 1e-3, 1e6,
                    $float::INFINITY, $float::NEG_INFINITY, $float::NAN, $float::MAX, $float::MIN,
                    $float::MIN_POSITIVE, $float::EPSILON, 1e-30, 1e30,
                ]
            }

            fn random(random: &mut Random, size: usize, _: usize) -> Self {
                let sign = if random.below(2) == 0 { 1.0 } else { -1.0 };
                match random.below(4) {
                    0 => $float::from_bits(random.next() as $bits),
                    1 => sign * random.below(1 + size) as $float,
                    2 => sign * random.below(100_000) as $float / 100.0,
                    _ => sign * (random.next() >> 11) as $float / (1_u64 << 53) as $float,
                }
            }

            fn shrink(&self) -> Vec<Self> {
                let value = *self;
                if value.is_nan() || value == 0.0 {
                    return Vec::new();
                }
                let mut all: Vec<$float> = vec![0.0, 1.0, -value, value.trunc(), value.round() / 2.0, value / 2.0];
                all.retain(|smaller| smaller.abs() < value.abs() || (value < 0.0 && *smaller == -value));
                if value.is_infinite() {
                    all.insert(0, 1e6);
                }
                all
            }
        }
    )*};
}
floats!(f32 u32 f64 u64);

impl<L> Generate<L> for () {
    fn boundary(_: usize) -> Vec<Self> {
        vec![()]
    }

    fn random(_: &mut Random, _: usize, _: usize) -> Self {}
}

impl<L> Generate<L> for bool {
    fn boundary(_: usize) -> Vec<Self> {
        vec![false, true]
    }

    fn random(random: &mut Random, _: usize, _: usize) -> Self {
        random.below(2) == 1
    }

    fn shrink(&self) -> Vec<Self> {
        if *self { vec![false] } else { Vec::new() }
    }
}

impl<L> Generate<L> for char {
    fn boundary(_: usize) -> Vec<Self> {
        "aA0 -_zZ9\n\0\t\"\\éßİ中😀\u{301}\u{200d}\u{202e}\u{feff}\u{10ffff}".chars().collect()
    }

    fn random(random: &mut Random, _: usize, depth: usize) -> Self {
        match random.below(8) {
            0 => random.pick(&<char as Generate<L>>::boundary(depth)),
            1 => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('ø'),
            2..=4 => (b' ' + random.below(95) as u8) as char,
            _ => (b'a' + random.below(26) as u8) as char,
        }
    }

    fn shrink(&self) -> Vec<Self> {
        match *self {
            'a' => Vec::new(),
            'b'..='z' => vec!['a'],
            ' '..='~' => vec!['a', 'b'],
            _ => vec!['a', ' ', '\u{e9}'].into_iter().filter(|simple| simple < self).collect(),
        }
    }
}

impl<L> Generate<L> for String {
    fn boundary(_: usize) -> Vec<Self> {
        let mut all: Vec<String> = [
            "",
            "a",
            " ",
            "A",
            "0",
            "ab",
            "aa",
            "aba",
            "a b",
            "  a  ",
            "Hello, World!",
            "\n",
            "\t \r\n",
            "a\nb\n",
            "-1",
            "0123456789",
            "1.5e3",
            "a,b;c",
            "--a--",
            "_",
            "\"'\\",
            "(]",
            "é",
            "e\u{301}",
            "ß",
            "İ",
            "中文",
            "😀",
            "👩\u{200d}👩\u{200d}👧",
            "שלום",
            "\0",
            "\u{feff}a",
            "\u{202e}abc",
            "ﬁ",
        ]
        .map(String::from)
        .to_vec();
        all.extend(["a".repeat(300), "ab ".repeat(50), "é".repeat(100)]);
        all
    }

    fn random(random: &mut Random, size: usize, depth: usize) -> Self {
        let pool = random.below(4);
        let length = random.below(size + 1);
        (0..length)
            .map(|_| match pool {
                0 => random.pick(&['a', 'b', ' ', '-']),
                1 => random.pick(&['0', '1', '9', '.', '-', '+', ',', 'x']),
                2 => (b' ' + random.below(95) as u8) as char,
                _ => <char as Generate<L>>::random(random, size, depth),
            })
            .collect()
    }

    fn shrink(&self) -> Vec<Self> {
        let chars: Vec<char> = self.chars().collect();
        <Vec<char> as Generate<L>>::shrink(&chars).into_iter().map(String::from_iter).collect()
    }
}

impl<L, T: Generate<L>> Generate<L> for Vec<T> {
    fn boundary(depth: usize) -> Vec<Self> {
        if depth == 0 {
            return vec![Vec::new()];
        }
        let items = T::boundary(depth - 1);
        let mut all = vec![Vec::new()];
        all.extend(items.iter().take(6).map(|item| vec![item.clone()]));
        let first: Vec<T> = items.iter().take(8).cloned().collect();
        if let [one, two, ..] = &items[..] {
            all.push(vec![one.clone(), two.clone()]);
            all.push(vec![two.clone(), one.clone()]);
            all.push(vec![two.clone(), two.clone()]);
            all.push(vec![one.clone(), two.clone(), one.clone()]);
            all.push(first.iter().rev().cloned().collect());
            all.push(first);
            all.extend(items.iter().skip(6).map(|item| vec![item.clone()]));
            all.push(items.iter().cycle().take(33).cloned().collect());
        }
        all
    }

    fn random(random: &mut Random, size: usize, depth: usize) -> Self {
        let length = if depth == 0 { 0 } else { random.below(size + 1) };
        let size = if std::mem::size_of::<T>() > 16 { size / 2 } else { size };
        (0..length).map(|_| T::random(random, size, depth.saturating_sub(1))).collect()
    }

    fn shrink(&self) -> Vec<Self> {
        if self.is_empty() {
            return Vec::new();
        }
        let middle = self.len() / 2;
        let mut all = vec![Vec::new(), self[..middle].to_vec(), self[middle..].to_vec()];
        all.retain(|smaller| smaller.len() < self.len());
        for at in 0..self.len().min(16) {
            let mut smaller = self.clone();
            smaller.remove(at);
            all.push(smaller);
        }
        for at in 0..self.len().min(8) {
            for item in self[at].shrink().into_iter().take(6) {
                let mut smaller = self.clone();
                smaller[at] = item;
                all.push(smaller);
            }
        }
        all
    }
}

macro_rules! collections {
    ($($collection:ident $($bound:ident)*;)*) => {$(
        impl<L, T: Generate<L> $(+ $bound)*> Generate<L> for $collection<T> {
            fn boundary(depth: usize) -> Vec<Self> {
                <Vec<T> as Generate<L>>::boundary(depth).into_iter().map(Self::from_iter).collect()
            }

            fn random(random: &mut Random, size: usize, depth: usize) -> Self {
                <Vec<T> as Generate<L>>::random(random, size, depth).into_iter().collect()
            }

            fn shrink(&self) -> Vec<Self> {
                let items: Vec<T> = self.iter().cloned().collect();
                <Vec<T> as Generate<L>>::shrink(&items).into_iter().map(Self::from_iter).collect()
            }
        }
    )*};
}
collections! {
    VecDeque;
    HashSet Eq Hash;
    BTreeSet Ord;
}

macro_rules! maps {
    ($($map:ident $($bound:ident)+;)*) => {$(
        impl<L, K: Generate<L> $(+ $bound)+, V: Generate<L>> Generate<L> for $map<K, V> {
            fn boundary(depth: usize) -> Vec<Self> {
                <Vec<(K, V)> as Generate<L>>::boundary(depth).into_iter().map(Self::from_iter).collect()
            }

            fn random(random: &mut Random, size: usize, depth: usize) -> Self {
                <Vec<(K, V)> as Generate<L>>::random(random, size, depth).into_iter().collect()
            }

            fn shrink(&self) -> Vec<Self> {
                let items: Vec<(K, V)> = self.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                <Vec<(K, V)> as Generate<L>>::shrink(&items).into_iter().map(Self::from_iter).collect()
            }
        }
    )*};
}
maps! {
    HashMap Eq Hash;
    BTreeMap Ord;
}

impl<L, T: Generate<L>> Generate<L> for Option<T> {
    fn boundary(depth: usize) -> Vec<Self> {
        let mut all = vec![None];
        if depth > 0 {
            all.extend(T::boundary(depth - 1).into_iter().map(Some));
        }
        all
    }

    fn random(random: &mut Random, size: usize, depth: usize) -> Self {
        (depth > 0 && random.below(4) > 0).then(|| T::random(random, size, depth.saturating_sub(1)))
    }

    fn shrink(&self) -> Vec<Self> {
        match self {
            None => Vec::new(),
            Some(value) => [None].into_iter().chain(value.shrink().into_iter().map(Some)).collect(),
        }
    }
}

impl<L, T: Generate<L>, E: Generate<L>> Generate<L> for Result<T, E> {
    fn boundary(depth: usize) -> Vec<Self> {
        let (values, errors) = (T::boundary(depth), E::boundary(depth));
        values.into_iter().take(24).map(Ok).chain(errors.into_iter().take(24).map(Err)).collect()
    }

    fn random(random: &mut Random, size: usize, depth: usize) -> Self {
        if random.below(2) == 0 { Ok(T::random(random, size, depth)) } else { Err(E::random(random, size, depth)) }
    }

    fn shrink(&self) -> Vec<Self> {
        match self {
            Ok(value) => value.shrink().into_iter().map(Ok).collect(),
            Err(error) => error.shrink().into_iter().map(Err).collect(),
        }
    }
}

macro_rules! pointers {
    ($($pointer:ident)*) => {$(
        impl<L, T: Generate<L>> Generate<L> for $pointer<T> {
            fn boundary(depth: usize) -> Vec<Self> {
                T::boundary(depth).into_iter().map($pointer::new).collect()
            }

            fn random(random: &mut Random, size: usize, depth: usize) -> Self {
                $pointer::new(T::random(random, size, depth))
            }

            fn shrink(&self) -> Vec<Self> {
                (**self).shrink().into_iter().map($pointer::new).collect()
            }
        }
    )*};
}
pointers!(Box Rc Arc);

impl<L, T: Generate<L>, const N: usize> Generate<L> for [T; N] {
    fn boundary(depth: usize) -> Vec<Self> {
        let items = T::boundary(depth);
        let mut all: Vec<Self> = items.iter().take(8).map(|item| std::array::from_fn(|_| item.clone())).collect();
        if !items.is_empty() {
            all.push(std::array::from_fn(|at| items[at % items.len()].clone()));
            all.push(std::array::from_fn(|at| items[(N - 1 - at) % items.len()].clone()));
        }
        all
    }

    fn random(random: &mut Random, size: usize, depth: usize) -> Self {
        std::array::from_fn(|_| T::random(random, size, depth))
    }

    fn shrink(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..N.min(8) {
            for item in self[at].shrink().into_iter().take(6) {
                let mut smaller = self.clone();
                smaller[at] = item;
                all.push(smaller);
            }
        }
        all
    }
}

impl<L> Generate<L> for Duration {
    fn boundary(_: usize) -> Vec<Self> {
        let seconds = [1, 59, 60, 61, 3599, 3600, 86_399, 86_400, 1 << 32].map(Duration::from_secs);
        let small = [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1), Duration::from_millis(1500)];
        small.into_iter().chain(seconds).chain([Duration::MAX]).collect()
    }

    fn random(random: &mut Random, _: usize, _: usize) -> Self {
        match random.below(3) {
            0 => Duration::from_secs(random.below(200_000) as u64),
            1 => Duration::from_millis(random.below(1_000_000) as u64),
            _ => Duration::from_nanos(random.next() >> random.below(60)),
        }
    }

    fn shrink(&self) -> Vec<Self> {
        let mut all = vec![Duration::ZERO, Duration::from_secs(self.as_secs()), *self / 2];
        all.retain(|smaller| smaller < self);
        all
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt)+))*) => {$(
        impl<L, $($name: Generate<L>),+> Generate<L> for ($($name,)+) {
            fn boundary(depth: usize) -> Vec<Self> {
                let parts = ($($name::boundary(depth),)+);
                let lengths = [$(parts.$at.len()),+];
                combinations(&lengths).into_iter().map(|at| ($(parts.$at[at[$at]].clone(),)+)).collect()
            }

            fn random(random: &mut Random, size: usize, depth: usize) -> Self {
                ($($name::random(random, size, depth),)+)
            }

            fn shrink(&self) -> Vec<Self> {
                let mut all = Vec::new();
                $(for part in self.$at.shrink() {
                    let mut smaller = self.clone();
                    smaller.$at = part;
                    all.push(smaller);
                })+
                all
            }
        }

        impl<$($name),+> Variables for ($(Of<$name>,)+) {
            type Values = ($($name,)+);
        }
    )*};
}
tuples! {
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7)
}

/// Which boundary cases go together: all combinations where they are few, else each case with simple
/// others, and then a walk through the rest.
fn combinations<const N: usize>(lengths: &[usize; N]) -> Vec<[usize; N]> {
    let all = lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(*length)).unwrap_or(usize::MAX);
    let nth = |mut index: usize| {
        let mut at = [0; N];
        for (at, length) in at.iter_mut().zip(lengths) {
            (*at, index) = (index % length, index / length);
        }
        at
    };
    if all <= COMBINATIONS || N == 1 {
        return (0..all).map(nth).collect();
    }
    let mut chosen: Vec<[usize; N]> = Vec::new();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    for step in 0..longest {
        for variable in 0..N {
            let mut at = [step % 2; N];
            at[variable] = step;
            if at.iter().zip(lengths).all(|(at, length)| at < length) && !chosen.contains(&at) {
                chosen.push(at);
            }
        }
        let diagonal = std::array::from_fn(|variable| step % lengths[variable]);
        if !chosen.contains(&diagonal) {
            chosen.push(diagonal);
        }
    }
    let stride = all / COMBINATIONS + 1;
    chosen.extend((0..COMBINATIONS / 2).map(|step| nth((step * stride + step) % all)));
    chosen.truncate(2 * COMBINATIONS);
    chosen
}

/// A value to be shown by `Debug` where its type has it: `(&Show(&value)).show()`.
pub struct Show<'a, T: ?Sized>(pub &'a T);

/// Shows by `Debug`.
pub trait ShowDebug {
    /// The value as text, cut where long.
    fn show(&self) -> String;
}

impl<T: Debug + ?Sized> ShowDebug for Show<'_, T> {
    fn show(&self) -> String {
        debug(self.0)
    }
}

/// Names the type where there is no `Debug`.
pub trait ShowType {
    /// The type's name.
    fn show(&self) -> String;
}

impl<T: ?Sized> ShowType for &Show<'_, T> {
    fn show(&self) -> String {
        format!("a value of type {} (it has no Debug)", std::any::type_name::<T>())
    }
}

struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push_str(cut(text, VALUE - self.0.len().min(VALUE)));
        if self.0.len() + 4 >= VALUE { Err(std::fmt::Error) } else { Ok(()) }
    }
}

/// A value as its `Debug` writes it, cut where long.
pub fn debug(value: &(impl Debug + ?Sized)) -> String {
    let mut text = Bounded(String::new());
    if std::fmt::Write::write_fmt(&mut text, format_args!("{value:?}")).is_err() {
        text.0.push('…');
    }
    text.0
}

/// The beginning of `text`, `longest` bytes or fewer.
pub fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}
