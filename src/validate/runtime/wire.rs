//! How values travel between the judge and the process of a candidate: plain bytes, little endian.
//!
//! The judge decodes what a hostile candidate may have sent. So lengths are held against what is left, every value
//! takes at least one byte, memory and stack are bounded, and whatever is wrong is `None`, never a panic.
//! Sets and maps without an order are written in the order of their bytes, so that equal values are equal bytes.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::error::Error;
use std::hash::Hash;
use std::marker::PhantomData;
use std::num::{NonZero, ParseFloatError, ParseIntError, Saturating, TryFromIntError, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;
use std::str::{ParseBoolError, Utf8Error};
use std::string::FromUtf8Error;
use std::sync::Arc;
use std::time::Duration;

/// Longest answer of a candidate, in bytes.
pub const LONGEST: usize = 16 << 20;
/// Most memory that one answer may take when decoded, in bytes.
const MEMORY: usize = 64 << 20;
/// How much of a stack of unknown size decoding may use, in bytes.
const STACK: usize = 512 << 10;

/// A value that can be written. `L` is any type of the crate that implements this for types of others.
pub trait Encode<L> {
    /// Writes it.
    fn encode(&self, out: &mut Encoder);
}

/// A value that can be read.
pub trait Decode<L>: Sized {
    /// Reads one; `None` where the bytes are none.
    fn decode(input: &mut Decoder<'_>) -> Option<Self>;
}

/// What can be read into a box: every value that can be read, texts and slices.
pub trait DecodeBox<L> {
    /// Reads one.
    fn decode_box(input: &mut Decoder<'_>) -> Option<Box<Self>>;
}

/// Bytes being written.
#[derive(Default)]
pub struct Encoder {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Where in it are names of objects, eight bytes each: they mean nothing outside of this run.
    pub objects: Vec<usize>,
}

impl Encoder {
    /// Writes bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes one byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Writes which variant a value is.
    pub fn variant(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    /// Writes a length.
    pub fn length(&mut self, length: usize) {
        // What is longer than this does not fit an answer: the reader finds bytes left over.
        self.put(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) {
        self.length(text.len());
        self.put(text.as_bytes());
    }

    /// Writes the name of an object.
    pub fn object(&mut self, name: u64) {
        self.objects.push(self.bytes.len());
        self.put(&name.to_le_bytes());
    }

    /// Writes parts in the order of their bytes.
    fn sorted(&mut self, mut parts: Vec<Encoder>) {
        parts.sort_by(|one, other| one.bytes.cmp(&other.bytes));
        self.length(parts.len());
        for part in parts {
            let start = self.bytes.len();
            self.objects.extend(part.objects.iter().map(|at| start + at));
            self.bytes.extend(part.bytes);
        }
    }
}

/// Bytes being read.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    memory: usize,
    /// Lowest address that the stack may reach.
    floor: usize,
    /// Memory that is never given back.
    leaked: usize,
    /// Where names of objects are.
    objects: Vec<usize>,
}

impl<'a> Decoder<'a> {
    /// Reads `bytes` from their start; `floor` is the lowest address that the stack may reach, where that is known.
    pub fn new(bytes: &'a [u8], floor: Option<usize>) -> Self {
        let floor = floor.unwrap_or_else(|| stack_pointer().saturating_sub(STACK));
        Self { bytes, at: 0, memory: MEMORY, floor, leaked: 0, objects: Vec::new() }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// How many were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Memory that what was read will never give back, in bytes.
    pub fn leaked(&self) -> usize {
        self.leaked
    }

    /// Where names of objects were read.
    pub fn objects(&self) -> &[usize] {
        &self.objects
    }

    /// The next bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// The next four bytes as a number.
    pub fn number(&mut self) -> Option<u32> {
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A byte that must be this one.
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    /// A length of that many elements of `size` bytes each: no more than bytes are left, and than memory allows.
    pub fn length(&mut self, size: usize) -> Option<usize> {
        let length = self.number()? as usize;
        if length > self.left() {
            return None;
        }
        self.charge(length.checked_mul(size)?)?;
        Some(length)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = self.length(1)?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// The name of an object.
    pub fn object(&mut self) -> Option<u64> {
        self.objects.push(self.at);
        let bytes = self.take(8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Counts memory.
    pub fn charge(&mut self, size: usize) -> Option<()> {
        self.memory = self.memory.checked_sub(size)?;
        Some(())
    }

    fn leak(&mut self, size: usize) {
        self.leaked = self.leaked.saturating_add(size);
    }

    /// Which variant a value is. Every type that may hold itself asks: whether the stack is deep enough for one more.
    pub fn variant(&mut self) -> Option<u32> {
        if stack_pointer() > self.floor { self.number() } else { None }
    }
}

/// An address on the stack, near its end.
#[inline(never)]
pub fn stack_pointer() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl<L> Encode<L> for $number {
            fn encode(&self, out: &mut Encoder) {
                out.put(&self.to_le_bytes());
            }
        }

        impl<L> Decode<L> for $number {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                let bytes = input.take(size_of::<Self>())?;
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}
// Floats keep their bits: not a number stays the one it was.
numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);

macro_rules! integers {
    ($($integer:ident)*) => {$(
        impl<L> Encode<L> for NonZero<$integer> {
            fn encode(&self, out: &mut Encoder) {
                out.put(&self.get().to_le_bytes());
            }
        }

        impl<L> Decode<L> for NonZero<$integer> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                Self::new(<$integer as Decode<L>>::decode(input)?)
            }
        }

        impl<L> Encode<L> for RangeInclusive<$integer> {
            fn encode(&self, out: &mut Encoder) {
                // One that was run to its end is not the one it was.
                out.byte(u8::from(self.is_empty() && self.start() <= self.end()));
                Encode::<L>::encode(self.start(), out);
                Encode::<L>::encode(self.end(), out);
            }
        }

        impl<L> Decode<L> for RangeInclusive<$integer> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                let is_done = <bool as Decode<L>>::decode(input)?;
                let start = <$integer as Decode<L>>::decode(input)?;
                let end = <$integer as Decode<L>>::decode(input)?;
                if is_done && start != end {
                    return None;
                }
                let mut range = start..=end;
                if is_done {
                    range.next();
                }
                Some(range)
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl<L> Encode<L> for bool {
    fn encode(&self, out: &mut Encoder) {
        out.byte(u8::from(*self));
    }
}

impl<L> Decode<L> for bool {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<L> Encode<L> for char {
    fn encode(&self, out: &mut Encoder) {
        out.put(&u32::from(*self).to_le_bytes());
    }
}

impl<L> Decode<L> for char {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        char::from_u32(input.number()?)
    }
}

impl<L> Encode<L> for () {
    fn encode(&self, out: &mut Encoder) {
        out.byte(0);
    }
}

impl<L> Decode<L> for () {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.expect(0)
    }
}

impl<L, T: ?Sized> Encode<L> for PhantomData<T> {
    fn encode(&self, out: &mut Encoder) {
        out.byte(0);
    }
}

impl<L, T: ?Sized> Decode<L> for PhantomData<T> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.expect(0)?;
        Some(PhantomData)
    }
}

impl<L> Encode<L> for str {
    fn encode(&self, out: &mut Encoder) {
        out.text(self);
    }
}

impl<L> DecodeBox<L> for str {
    fn decode_box(input: &mut Decoder<'_>) -> Option<Box<Self>> {
        input.text().map(Box::from)
    }
}

impl<L> Encode<L> for String {
    fn encode(&self, out: &mut Encoder) {
        out.text(self);
    }
}

impl<L> Decode<L> for String {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.text().map(String::from)
    }
}

impl<L, T: Encode<L>> Encode<L> for [T] {
    fn encode(&self, out: &mut Encoder) {
        out.length(self.len());
        for item in self {
            item.encode(out);
        }
    }
}

impl<L, T: Decode<L>> DecodeBox<L> for [T] {
    fn decode_box(input: &mut Decoder<'_>) -> Option<Box<Self>> {
        <Vec<T> as Decode<L>>::decode(input).map(Vec::into_boxed_slice)
    }
}

impl<L, T: Encode<L>> Encode<L> for Vec<T> {
    fn encode(&self, out: &mut Encoder) {
        self.as_slice().encode(out);
    }
}

impl<L, T: Decode<L>> Decode<L> for Vec<T> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let length = input.length(size_of::<T>())?;
        let mut all = Vec::with_capacity(length);
        for _ in 0..length {
            all.push(T::decode(input)?);
        }
        Some(all)
    }
}

impl<L, T: Encode<L>, const N: usize> Encode<L> for [T; N] {
    fn encode(&self, out: &mut Encoder) {
        out.byte(0);
        for item in self {
            item.encode(out);
        }
    }
}

impl<L, T: Decode<L>, const N: usize> Decode<L> for [T; N] {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.expect(0)?;
        input.charge(size_of::<Self>())?;
        let mut all = Vec::with_capacity(N);
        for _ in 0..N {
            all.push(T::decode(input)?);
        }
        all.try_into().ok()
    }
}

impl<L, T: Decode<L>> DecodeBox<L> for T {
    fn decode_box(input: &mut Decoder<'_>) -> Option<Box<Self>> {
        input.charge(size_of::<T>())?;
        T::decode(input).map(Box::new)
    }
}

impl<L, T: Encode<L> + ?Sized> Encode<L> for &T {
    fn encode(&self, out: &mut Encoder) {
        (**self).encode(out);
    }
}

/// The process is short-lived: what is borrowed is never given back.
impl<'a, L, T: DecodeBox<L> + ?Sized + 'a> Decode<L> for &'a T {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let before = input.memory;
        let value = T::decode_box(input)?;
        input.leak(16 + before - input.memory);
        Some(Box::leak(value))
    }
}

macro_rules! pointers {
    ($($pointer:ident)*) => {$(
        impl<L, T: Encode<L> + ?Sized> Encode<L> for $pointer<T> {
            fn encode(&self, out: &mut Encoder) {
                (**self).encode(out);
            }
        }

        impl<L, T: DecodeBox<L> + ?Sized> Decode<L> for $pointer<T> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                T::decode_box(input).map($pointer::from)
            }
        }
    )*};
}
pointers!(Box Rc Arc);

/// Says whether it is borrowed: a check may ask.
impl<L, T: Encode<L> + ToOwned + ?Sized> Encode<L> for Cow<'_, T> {
    fn encode(&self, out: &mut Encoder) {
        out.byte(u8::from(matches!(self, Cow::Owned(_))));
        (**self).encode(out);
    }
}

impl<'a, L, T: DecodeBox<L> + ToOwned + ?Sized + 'a> Decode<L> for Cow<'a, T> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let is_owned = <bool as Decode<L>>::decode(input)?;
        if is_owned {
            let value = T::decode_box(input)?;
            return Some(Cow::Owned((*value).to_owned()));
        }
        <&T as Decode<L>>::decode(input).map(Cow::Borrowed)
    }
}

impl<L, T: Encode<L>> Encode<L> for Option<T> {
    fn encode(&self, out: &mut Encoder) {
        match self {
            None => out.byte(0),
            Some(value) => {
                out.byte(1);
                value.encode(out);
            }
        }
    }
}

impl<L, T: Decode<L>> Decode<L> for Option<T> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(None),
            1 => T::decode(input).map(Some),
            _ => None,
        }
    }
}

impl<L, T: Encode<L>, E: Encode<L>> Encode<L> for Result<T, E> {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Ok(value) => {
                out.byte(0);
                value.encode(out);
            }
            Err(error) => {
                out.byte(1);
                error.encode(out);
            }
        }
    }
}

impl<L, T: Decode<L>, E: Decode<L>> Decode<L> for Result<T, E> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        match input.byte()? {
            0 => T::decode(input).map(Ok),
            1 => E::decode(input).map(Err),
            _ => None,
        }
    }
}

macro_rules! sequences {
    ($($sequence:ident $($bound:ident)*;)*) => {$(
        impl<L, T: Encode<L>> Encode<L> for $sequence<T> {
            fn encode(&self, out: &mut Encoder) {
                out.length(self.len());
                for item in self {
                    item.encode(out);
                }
            }
        }

        impl<L, T: Decode<L> $(+ $bound)*> Decode<L> for $sequence<T> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                // What each element takes beside itself, at most.
                let length = input.length(size_of::<T>() + 32)?;
                let mut all = Self::new();
                for _ in 0..length {
                    all.extend([T::decode(input)?]);
                }
                // A set that holds an element twice is none.
                (all.len() == length).then_some(all)
            }
        }
    )*};
}
sequences! {
    VecDeque;
    LinkedList;
    BTreeSet Ord;
}

macro_rules! unordered {
    ($($collection:ident $($bound:ident)*;)*) => {$(
        impl<L, T: Encode<L>> Encode<L> for $collection<T> {
            fn encode(&self, out: &mut Encoder) {
                let parts = self.iter().map(|item| part(|out| item.encode(out)));
                out.sorted(parts.collect());
            }
        }

        impl<L, T: Decode<L> $(+ $bound)*> Decode<L> for $collection<T> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                let length = input.length(2 * (size_of::<T>() + 16))?;
                let mut all = Self::new();
                for _ in 0..length {
                    all.extend([T::decode(input)?]);
                }
                (all.len() == length).then_some(all)
            }
        }
    )*};
}
unordered! {
    HashSet Eq Hash;
    BinaryHeap Ord;
}

fn part(encode: impl FnOnce(&mut Encoder)) -> Encoder {
    let mut part = Encoder::default();
    encode(&mut part);
    part
}

impl<L, K: Encode<L>, V: Encode<L>> Encode<L> for BTreeMap<K, V> {
    fn encode(&self, out: &mut Encoder) {
        out.length(self.len());
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }
}

impl<L, K: Encode<L>, V: Encode<L>> Encode<L> for HashMap<K, V> {
    fn encode(&self, out: &mut Encoder) {
        let one = |key: &K, value: &V| {
            part(|out| {
                key.encode(out);
                value.encode(out);
            })
        };
        let parts = self.iter().map(|(key, value)| one(key, value));
        out.sorted(parts.collect());
    }
}

macro_rules! maps {
    ($($map:ident $($bound:ident)+;)*) => {$(
        impl<L, K: Decode<L> $(+ $bound)+, V: Decode<L>> Decode<L> for $map<K, V> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                let length = input.length(2 * (size_of::<(K, V)>() + 16))?;
                let mut all = Self::new();
                for _ in 0..length {
                    let key = K::decode(input)?;
                    all.insert(key, V::decode(input)?);
                }
                (all.len() == length).then_some(all)
            }
        }
    )*};
}
maps! {
    BTreeMap Ord;
    HashMap Eq Hash;
}

impl<L, T: Encode<L>> Encode<L> for Range<T> {
    fn encode(&self, out: &mut Encoder) {
        self.start.encode(out);
        self.end.encode(out);
    }
}

impl<L, T: Decode<L>> Decode<L> for Range<T> {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        Some(T::decode(input)?..T::decode(input)?)
    }
}

macro_rules! wrappers {
    ($($wrapper:ident)*) => {$(
        impl<L, T: Encode<L>> Encode<L> for $wrapper<T> {
            fn encode(&self, out: &mut Encoder) {
                self.0.encode(out);
            }
        }

        impl<L, T: Decode<L>> Decode<L> for $wrapper<T> {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                T::decode(input).map($wrapper)
            }
        }
    )*};
}
wrappers!(Reverse Wrapping Saturating);

impl<L> Encode<L> for Duration {
    fn encode(&self, out: &mut Encoder) {
        out.put(&self.as_secs().to_le_bytes());
        out.put(&self.subsec_nanos().to_le_bytes());
    }
}

impl<L> Decode<L> for Duration {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let seconds = <u64 as Decode<L>>::decode(input)?;
        let nanos = input.number().filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Duration::new(seconds, nanos))
    }
}

impl<L> Encode<L> for Ordering {
    fn encode(&self, out: &mut Encoder) {
        out.byte((*self as i8 + 1) as u8);
    }
}

impl<L> Decode<L> for Ordering {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        [Ordering::Less, Ordering::Equal, Ordering::Greater].get(usize::from(input.byte()?)).copied()
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt)+))*) => {$(
        impl<L, $($name: Encode<L>),+> Encode<L> for ($($name,)+) {
            fn encode(&self, out: &mut Encoder) {
                $(self.$at.encode(out);)+
            }
        }

        impl<L, $($name: Decode<L>),+> Decode<L> for ($($name,)+) {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                Some(($($name::decode(input)?,)+))
            }
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
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 M 11)
}

/// Errors of the standard library have no constructors: each is one of a few, and is made again as it came to be.
macro_rules! errors {
    ($($error:ident: $all:expr;)*) => {$(
        impl<L> Encode<L> for $error {
            fn encode(&self, out: &mut Encoder) {
                let all: Vec<$error> = $all;
                let at = all.iter().position(|error| error == self);
                out.byte(at.map_or(u8::MAX, |at| at as u8));
            }
        }

        impl<L> Decode<L> for $error {
            fn decode(input: &mut Decoder<'_>) -> Option<Self> {
                let all: Vec<$error> = $all;
                all.into_iter().nth(usize::from(input.byte()?))
            }
        }
    )*};
}
errors! {
    ParseIntError: ["", "x", "999", "-999"].iter().filter_map(|text| text.parse::<i8>().err())
        .chain("0".parse::<NonZero<u8>>().err()).collect();
    ParseFloatError: ["", "x"].iter().filter_map(|text| text.parse::<f64>().err()).collect();
    ParseBoolError: "x".parse::<bool>().err().into_iter().collect();
    TryFromIntError: u8::try_from(999).err().into_iter().collect();
}

/// The end of a text for each length of what is wrong in it; 0 is a text that ends too early.
const WRONG: [&[u8]; 4] = [b"\xe2", b"\xff", b"\xe2\x82A", b"\xf0\x9f\x98A"];

impl<L> Encode<L> for Utf8Error {
    fn encode(&self, out: &mut Encoder) {
        out.length(self.valid_up_to());
        out.byte(self.error_len().unwrap_or(0) as u8);
    }
}

impl<L> Decode<L> for Utf8Error {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let valid = input.number()? as usize;
        let wrong = WRONG.get(usize::from(input.byte()?))?;
        input.charge(valid + wrong.len())?;
        let mut bytes = vec![b'a'; valid];
        bytes.extend_from_slice(wrong);
        std::str::from_utf8(&bytes).err()
    }
}

impl<L> Encode<L> for FromUtf8Error {
    fn encode(&self, out: &mut Encoder) {
        out.length(self.as_bytes().len());
        out.put(self.as_bytes());
    }
}

impl<L> Decode<L> for FromUtf8Error {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        let length = input.length(1)?;
        String::from_utf8(input.take(length)?.to_vec()).err()
    }
}

impl<L> Encode<L> for std::fmt::Error {
    fn encode(&self, out: &mut Encoder) {
        out.byte(0);
    }
}

impl<L> Decode<L> for std::fmt::Error {
    fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        input.expect(0)?;
        Some(std::fmt::Error)
    }
}

/// An error of which only the words came.
struct Told {
    display: String,
    debug: String,
}

impl std::fmt::Display for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(&self.display)
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.debug)
    }
}

impl Error for Told {}

macro_rules! dynamic_errors {
    ($($error:ty)*) => {$(
        impl<L> Encode<L> for $error {
            fn encode(&self, out: &mut Encoder) {
                out.text(&self.to_string());
                out.text(&format!("{self:?}"));
            }
        }

        impl<L> DecodeBox<L> for $error {
            fn decode_box(input: &mut Decoder<'_>) -> Option<Box<Self>> {
                let display = input.text()?.to_string();
                Some(Box::new(Told { display, debug: input.text()?.to_string() }))
            }
        }
    )*};
}
dynamic_errors!(dyn Error dyn Error + Send dyn Error + Send + Sync);
