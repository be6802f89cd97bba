//! Two texts, line by line.

/// Lines around a difference that are shown.
const CONTEXT: usize = 2;

/// `- ` what only `old` has, `+ ` what only `new` has, with a little of what both have. Empty when they are equal.
pub(super) fn lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // The longest common subsequence of what follows each pair of places.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            common[a][b] = if old[a] == new[b] { common[a + 1][b + 1] + 1 } else { common[a + 1][b].max(common[a][b + 1]) };
        }
    }
    let (mut a, mut b, mut all) = (0, 0, Vec::new());
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            all.push((' ', old[a]));
            (a, b) = (a + 1, b + 1);
        } else if b == new.len() || (a < old.len() && common[a + 1][b] >= common[a][b + 1]) {
            all.push(('-', old[a]));
            a += 1;
        } else {
            all.push(('+', new[b]));
            b += 1;
        }
    }
    let near = |at: usize| all[at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(all.len())].iter().any(|(mark, _)| *mark != ' ');
    let mut text = String::new();
    for (at, (mark, line)) in all.iter().enumerate() {
        if near(at) {
            text.push_str(&format!("{mark} {line}\n"));
        } else if at > 0 && near(at - 1) {
            text.push_str("  …\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_its_surroundings() {
        assert_eq!(lines("a\nb\n", "a\nb\n"), "");
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        assert_eq!(lines(old, "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"), "  3\n  4\n- 5\n+ five\n  6\n  7\n  …\n");
        assert_eq!(lines("a\n", "a\nb\n"), "  a\n+ b\n");
        assert_eq!(lines("", "x\n"), "+ x\n");
    }
}
