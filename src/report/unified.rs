//! Two texts line by line, as `diff -u` has them. Pure.

/// Lines shown around what differs.
const CONTEXT: usize = 3;
/// Longest texts that are compared, in pairs of lines; longer ones are shown as replaced.
const LARGEST: usize = 4_000_000;

/// The difference, without the names of the files; empty where there is none.
pub fn unified(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let marked = marked(&old, &new);
    let changed: Vec<usize> = (0..marked.len()).filter(|at| marked[*at].0 != ' ').collect();
    let mut text = String::new();
    let mut next = 0;
    while let Some(&first) = changed.get(next) {
        // Changes with little between them are one hunk.
        let mut last = first;
        while let Some(&at) = changed.get(next).filter(|at| **at <= last + 2 * CONTEXT + 1) {
            last = at;
            next += 1;
        }
        let (start, end) = (first.saturating_sub(CONTEXT), (last + CONTEXT + 1).min(marked.len()));
        let lines = |range: &[(char, &str)], other: char| range.iter().filter(|(mark, _)| *mark != other).count();
        let place = |other: char| {
            let (before, own) = (lines(&marked[..start], other), lines(&marked[start..end], other));
            format!("{},{own}", if own == 0 { before } else { before + 1 })
        };
        text.push_str(&format!("@@ -{} +{} @@\n", place('+'), place('-')));
        for (mark, line) in &marked[start..end] {
            text.push_str(&format!("{mark}{line}\n"));
        }
    }
    text
}

/// All lines of both: those of one only with `-` or `+`, those of both once.
fn marked<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let same_start = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let (old_rest, new_rest) = (&old[same_start..], &new[same_start..]);
    let same_end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let (middle_old, end) = old_rest.split_at(old_rest.len() - same_end);
    let middle_new = &new_rest[..new_rest.len() - same_end];
    let mut marked: Vec<(char, &str)> = old[..same_start].iter().map(|line| (' ', *line)).collect();
    if middle_old.len().saturating_mul(middle_new.len()) > LARGEST {
        marked.extend(middle_old.iter().map(|line| ('-', *line)));
        marked.extend(middle_new.iter().map(|line| ('+', *line)));
    } else {
        longest_common(middle_old, middle_new, &mut marked);
    }
    marked.extend(end.iter().map(|line| (' ', *line)));
    marked
}

/// By the longest common subsequence.
fn longest_common<'a>(old: &[&'a str], new: &[&'a str], marked: &mut Vec<(char, &'a str)>) {
    let width = new.len() + 1;
    // How long it is from here on.
    let mut length = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            length[i * width + j] = if old[i] == new[j] {
                length[(i + 1) * width + j + 1] + 1
            } else {
                length[(i + 1) * width + j].max(length[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            marked.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && length[(i + 1) * width + j] >= length[i * width + j + 1] {
            marked.push(('-', old[i]));
            i += 1;
        } else {
            marked.push(('+', new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_diff_prints() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
        assert_eq!(unified("", "a\nb\n"), "@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        let old: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("\n4\n", "\nfour\n").replace("\n18\n", "\n18\n18a\n");
        assert_eq!(
            unified(&old, &new),
            "@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n@@ -16,5 +16,6 @@\n 16\n 17\n 18\n+18a\n 19\n 20\n"
        );
    }
}
