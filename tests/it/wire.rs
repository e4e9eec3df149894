//! How values travel: what was written is read, and no damaged bytes make the reader panic.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::num::{NonZero, ParseFloatError, ParseIntError, TryFromIntError, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;
use std::str::{ParseBoolError, Utf8Error};
use std::string::FromUtf8Error;
use std::time::Duration;

#[path = "../../src/validate/runtime/wire.rs"]
#[expect(warnings, reason = "it is written for rustc's defaults, and used in part here")]
mod values;

/// Everything at once, so that each kind of value meets each kind of damage.
type All = (
    (i8, u16, i32, u64, i128, usize, f32, bool, char, ()),
    (String, &'static str, Box<str>, Rc<[u8]>, Vec<()>, Vec<[u8; 0]>, Vec<Vec<Option<u8>>>, [Result<u8, String>; 2]),
    (HashMap<String, u8>, HashSet<(u8, bool)>, BTreeMap<u8, Vec<u8>>, BTreeSet<char>, VecDeque<u8>, LinkedList<()>),
    (Range<u8>, RangeInclusive<i16>, Duration, Ordering, NonZero<u8>, Cow<'static, str>, Option<Box<Option<u8>>>),
    (ParseIntError, ParseFloatError, ParseBoolError, TryFromIntError, Utf8Error, FromUtf8Error, Wrapping<u8>),
);

fn all() -> All {
    let mut done = 3..=3;
    done.next();
    (
        (-1, 2, -3, 4, -5, 6, f32::NAN, true, '\u{10ffff}', ()),
        (
            "é".into(),
            "b",
            "c".into(),
            Rc::from([1, 2]),
            vec![(); 3],
            vec![[]; 4],
            vec![vec![None, Some(1)], vec![]],
            [Ok(1), Err("x".into())],
        ),
        (
            HashMap::from([("a".into(), 1), ("b".into(), 2)]),
            HashSet::from([(1, true), (2, false)]),
            BTreeMap::from([(1, vec![2]), (3, vec![])]),
            BTreeSet::from(['x', 'y']),
            VecDeque::from([1, 2]),
            LinkedList::from([(), ()]),
        ),
        (
            1..9,
            done,
            Duration::MAX,
            Ordering::Greater,
            NonZero::new(7).unwrap(),
            Cow::Borrowed("d"),
            Some(Box::new(Some(8))),
        ),
        (
            "-999".parse::<i8>().unwrap_err(),
            "x".parse::<f64>().unwrap_err(),
            "x".parse::<bool>().unwrap_err(),
            u8::try_from(-1).unwrap_err(),
            String::from_utf8(b"abc\xf0\x9f\x98A".to_vec()).unwrap_err().utf8_error(),
            String::from_utf8(vec![1, 0xff]).unwrap_err(),
            Wrapping(9),
        ),
    )
}

fn encoded(all: &All) -> Vec<u8> {
    let mut out = values::Encoder::default();
    values::Encode::<()>::encode(all, &mut out);
    out.bytes
}

fn decoded(bytes: &[u8]) -> Option<(All, usize)> {
    let mut input = values::Decoder::new(bytes, None);
    let all = <All as values::Decode<()>>::decode(&mut input)?;
    Some((all, input.left()))
}

#[test]
fn what_was_written_is_read_and_damaged_bytes_never_panic() {
    let bytes = encoded(&all());
    let (again, left) = decoded(&bytes).unwrap();
    assert_eq!(left, 0);
    assert_eq!((&again.1, &again.2), (&all().1, &all().2));
    assert_eq!(encoded(&again), bytes);
    assert_eq!(format!("{:?}", again.4), format!("{:?}", all().4));
    assert_eq!(again.3, all().3);
    for end in 0..bytes.len() {
        assert!(decoded(&bytes[..end]).is_none(), "cut at {end}");
    }
    // Each byte set to each value, then many places at once.
    let (mut read, mut tried) = (0, 0);
    let mut check = |bytes: &[u8]| {
        tried += 1;
        if let Some((all, left)) = decoded(bytes) {
            read += 1;
            // What is read is a value as any other: it can be written and read again.
            let again = encoded(&all);
            assert_eq!(encoded(&decoded(&again).unwrap().0), again);
            assert!(left < bytes.len());
        }
    };
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            check(&damaged);
        }
        let mut damaged = bytes.clone();
        damaged.remove(at);
        check(&damaged);
        damaged.splice(at..at, [0xff; 4]);
        check(&damaged);
    }
    let mut seed = 1_u64;
    let mut next = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end
    };
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=next(6) {
            let at = next(damaged.len());
            match next(4) {
                0 => damaged[at] = next(256) as u8,
                1 => drop(damaged.remove(at)),
                2 => damaged.insert(at, next(256) as u8),
                _ => {
                    let from = next(damaged.len() - 8);
                    let part = damaged[from..from + 8].to_vec();
                    damaged.splice(at..at, part);
                }
            }
        }
        check(&damaged);
    }
    assert!(read > 1000 && read < tried, "{read} of {tried}");
}
