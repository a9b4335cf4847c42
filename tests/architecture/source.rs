//! Reading sources: words and signs, the paths written in them, and the module tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One module's source: its tokens, without comments, without the insides of strings, and
/// without what only tests compile.
pub struct Source {
    pub file: String,
    /// Names of the modules that lead to it from the root.
    pub module: Vec<String>,
    pub tokens: Vec<String>,
}

/// A path as it is written, and how many inline modules it is written inside of.
pub struct Written {
    pub words: Vec<String>,
    inline: Vec<String>,
}

impl Source {
    pub fn new(file: &str, module: Vec<String>, text: &str) -> Self {
        Source {
            file: file.to_owned(),
            module,
            tokens: without_tests(&tokens(text)).0,
        }
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }

    /// Every path of two or more words, with the braces of `use` taken apart.
    pub fn paths(&self) -> Vec<Written> {
        let mut found = Vec::new();
        let mut inline: Vec<(String, i32)> = Vec::new();
        let (mut depth, mut at) = (0, 0);
        while at < self.tokens.len() {
            match self.tokens[at].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    inline.retain(|(_, opened)| *opened <= depth);
                }
                "mod" if self.token(at + 2) == "{" => {
                    inline.push((self.tokens[at + 1].clone(), depth + 1));
                    at += 1;
                }
                word if is_word(word) && self.token(at + 1) == "::" => {
                    let names: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
                    at = self.take_path(at, &mut Vec::new(), &names, &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    /// Reads the path at `at`, which goes on after `prefix`, and returns where it ends.
    fn take_path(
        &self,
        mut at: usize,
        prefix: &mut Vec<String>,
        inline: &[String],
        found: &mut Vec<Written>,
    ) -> usize {
        let depth = prefix.len();
        loop {
            if self.token(at) == "{" {
                at += 1;
                while self.token(at) != "}" && at < self.tokens.len() {
                    at = self.take_path(at, prefix, inline, found);
                    while self.token(at) != "}" && self.token(at) != "," && at < self.tokens.len() {
                        at += 1; // `as name`
                    }
                    at += usize::from(self.token(at) == ",");
                }
                at += 1;
                break;
            }
            prefix.push(self.token(at).to_owned());
            at += 1;
            // `a::b` goes on; `a::<T>` and the end of the path do not.
            let goes_on = self.token(at) == "::"
                && (is_word(self.token(at + 1)) || ["{", "*"].contains(&self.token(at + 1)));
            if !goes_on {
                found.push(Written {
                    words: prefix.clone(),
                    inline: inline.to_vec(),
                });
                break;
            }
            at += 1;
        }
        prefix.truncate(depth);
        at
    }

    /// Which part of the crate a path leads to, if it is a path into the crate's root.
    pub fn resolve(&self, path: &Written) -> Option<String> {
        let mut words = path.words.iter().map(String::as_str).peekable();
        match *words.peek()? {
            "crate" => drop(words.next()),
            "super" => {
                let mut module: Vec<&String> = self.module.iter().chain(&path.inline).collect();
                while words.next_if_eq(&"super").is_some() {
                    module.pop();
                }
                if !module.is_empty() {
                    return None; // still inside the room
                }
            }
            _ => return None,
        }
        words.next().map(str::to_owned)
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", String::as_str)
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a source, without comments. A literal is one token, with a quote before
/// it.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '/' && get(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && get(at + 1) == '*' {
            let mut depth = 0;
            loop {
                match (get(at), get(at + 1)) {
                    ('/', '*') => (depth, at) = (depth + 1, at + 2),
                    ('*', '/') => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = literal(&chars, at) {
            let inside: String = chars[at..end].iter().collect();
            found.push(format!("\"{}", inside.trim_matches('"')));
            at = end;
        } else if c.is_alphanumeric() || c == '_' {
            let from = at;
            while get(at).is_alphanumeric() || get(at) == '_' {
                at += 1;
            }
            found.push(chars[from..at].iter().collect());
        } else if c == ':' && get(at + 1) == ':' {
            found.push("::".to_owned());
            at += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            at += 1;
        }
    }
    found
}

/// Where the literal at `at` ends, if a string or character literal begins there.
fn literal(chars: &[char], at: usize) -> Option<usize> {
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut open = at;
    while open < at + 2 && ['b', 'c', 'r'].contains(&get(open)) {
        open += 1;
    }
    let is_raw = open > at && get(open - 1) == 'r';
    let hashes = (open..).take_while(|&i| is_raw && get(i) == '#').count();
    if get(open + hashes) == '"' {
        let mut end = open + hashes + 1;
        while end < chars.len() {
            if get(end) == '\\' && !is_raw {
                end += 2;
                continue;
            }
            end += 1;
            let closes = (0..hashes).all(|i| get(end + i) == '#');
            if get(end - 1) == '"' && closes {
                return Some(end + hashes);
            }
        }
        return Some(end);
    }
    // A character, and no lifetime: 'a' or an escape.
    let quote = at + usize::from(get(at) == 'b');
    if get(quote) != '\'' {
        return None;
    }
    if get(quote + 1) == '\\' {
        let end = (quote + 3..chars.len()).find(|&i| get(i) == '\'')?;
        return Some(end + 1);
    }
    (get(quote + 2) == '\'').then_some(quote + 3)
}

/// Leaves out what only tests compile. Also tells which `mod name;` are among it.
fn without_tests(tokens: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut kept = Vec::new();
    let mut test_modules = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        if token(at) != "#" || token(at + 1) != "[" {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = closing(tokens, at + 1);
        let words: Vec<&str> = (at..end).map(token).collect();
        let is_test = words.get(2) == Some(&"cfg")
            && words.contains(&"test")
            && !words.contains(&"any")
            && !words.contains(&"not")
            || words.get(2) == Some(&"test");
        if !is_test {
            kept.extend_from_slice(&tokens[at..end]);
            at = end;
            continue;
        }
        at = end;
        while token(at) == "#" && token(at + 1) == "[" {
            at = closing(tokens, at + 1);
        }
        // The item: up to its semicolon, or to the end of its body.
        let mut name = "";
        let mut is_use = false;
        while at < tokens.len() {
            match token(at) {
                "mod" => name = token(at + 1),
                "use" => is_use = true,
                "(" | "[" => {
                    at = closing(tokens, at);
                    continue;
                }
                "{" => {
                    at = closing(tokens, at);
                    if is_use {
                        continue;
                    }
                    break;
                }
                ";" => {
                    test_modules.insert(name.to_owned());
                    at += 1;
                    break;
                }
                _ => {}
            }
            at += 1;
        }
    }
    (kept, test_modules)
}

/// Where the bracket at `at` is closed: the place after.
fn closing(tokens: &[String], at: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// A module of the crate.
pub struct Module {
    pub file: String,
    pub path: Vec<String>,
    pub is_test: bool,
}

pub fn crate_sources() -> Vec<Source> {
    let modules = module_tree().into_iter().filter(|module| !module.is_test);
    let sources: Vec<Source> = modules
        .map(|module| {
            let text = fs::read_to_string(root().join(&module.file)).expect("it was read before");
            Source::new(&module.file, module.path, &text)
        })
        .collect();
    assert!(sources.len() > 50, "only {} modules", sources.len());
    sources
}

/// Follows `mod` declarations from `lib.rs` on.
pub fn module_tree() -> Vec<Module> {
    let mut found = Vec::new();
    let mut ahead = vec![Module {
        file: "lib.rs".to_owned(),
        path: Vec::new(),
        is_test: false,
    }];
    while let Some(module) = ahead.pop() {
        let text = fs::read_to_string(root().join(&module.file)).expect("a module can be read");
        let tokens = tokens(&text);
        let (_, tests) = without_tests(&tokens);
        for (at, shape) in tokens.windows(3).enumerate() {
            if shape[0] == "mod" && shape[2] == ";" {
                let mut path = module.path.clone();
                path.push(shape[1].clone());
                let is_test = module.is_test || tests.contains(&shape[1]);
                ahead.push(Module {
                    file: file_of(&path, given_path(&tokens[..at])),
                    path,
                    is_test,
                });
            }
        }
        found.push(module);
    }
    let files: BTreeMap<&str, usize> = found.iter().map(|m| (m.file.as_str(), 1)).collect();
    assert_eq!(files.len(), found.len(), "a file is two modules");
    found
}

/// The file of a module: at the place that is given beside its parent, or at the usual one.
fn file_of(module: &[String], given: Option<&str>) -> String {
    let folder = module.join("/");
    let parent = module[..module.len() - 1].join("/");
    let mut places = match given {
        Some(given) => vec![
            format!("{parent}/{given}"),
            Path::new(&parent)
                .with_file_name(given)
                .to_string_lossy()
                .into_owned(),
        ],
        None => vec![format!("{folder}.rs"), format!("{folder}/mod.rs")],
    };
    places.retain(|file| root().join(file).is_file());
    places
        .pop()
        .unwrap_or_else(|| panic!("{folder} has no file"))
}

/// What `#[path = "..."]` says right before a module.
fn given_path(before: &[String]) -> Option<&str> {
    let ended = |token: &String| [";", "}"].contains(&token.as_str());
    let from = before.iter().rposition(ended).map_or(0, |at| at + 1);
    let at = before[from..]
        .windows(2)
        .rposition(|pair| pair == ["path", "="])?;
    Some(before[from + at + 2].trim_start_matches('"'))
}

pub fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").expect("a source file");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn relative(path: &Path) -> String {
    let inside: PathBuf = path
        .strip_prefix(root())
        .expect("inside the crate")
        .to_owned();
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
