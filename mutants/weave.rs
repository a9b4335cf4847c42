//! Puts every mutant of a file into it, each behind a switch.
//!
//! What becomes of `a < b`: `(if mutant(7) { a > b } else if mutant(8) { a == b } else { a < b })`.
//! One mutant is on at a time, so a changed branch holds its operands as they were. What cannot be
//! switched when the program runs (constants, `const fn`) is left out, and said.

use crate::list::{Mutant, Place};
use proc_macro2::Span;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A part of a file that is written differently: text, and what stands in between.
struct Node {
    range: Range<usize>,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    /// A range of the source, with the nodes within it.
    Woven(Range<usize>),
}

struct Weaver<'a> {
    source: &'a str,
    lines: Vec<usize>,
    /// By genre and where its span starts.
    mutants: HashMap<(&'a str, Place), Vec<(usize, &'a Mutant)>>,
    nodes: Vec<Node>,
    woven: Vec<usize>,
    constant: usize,
}

/// The file with the switches, and the numbers of the mutants in it.
pub fn weave(source: &str, mutants: &[(usize, &Mutant)]) -> (String, Vec<usize>) {
    let file = syn::parse_file(source).expect("a Rust file");
    let mut lines = vec![0, 0];
    lines.extend(source.match_indices('\n').map(|(at, _)| at + 1));
    let mut by_place: HashMap<_, Vec<_>> = HashMap::new();
    for &(number, mutant) in mutants {
        let key = (mutant.genre.as_str(), mutant.span.start);
        by_place.entry(key).or_default().push((number, mutant));
    }
    let mut weaver = Weaver {
        source,
        lines,
        mutants: by_place,
        nodes: Vec::new(),
        woven: Vec::new(),
        constant: 0,
    };
    weaver.visit_file(&file);
    let nodes = Nodes::new(source, weaver.nodes);
    (nodes.render(0..source.len(), None), weaver.woven)
}

fn switch(number: usize) -> String {
    format!("\nif crate::mutant({number}) ")
}

impl Weaver<'_> {
    fn offset(&self, place: Place) -> usize {
        let line = &self.source[self.lines[place.line]..];
        let column = line.char_indices().nth(place.column - 1);
        self.lines[place.line] + column.map_or(line.len(), |(at, _)| at)
    }

    fn range(&self, span: Span) -> Range<usize> {
        let place = |at: proc_macro2::LineColumn| Place {
            line: at.line,
            column: at.column + 1,
        };
        self.offset(place(span.start()))..self.offset(place(span.end()))
    }

    fn raw(&self, range: Range<usize>) -> &str {
        &self.source[range]
    }

    /// Mutants of a genre at a place; none where nothing can be switched.
    fn at(&self, genre: &str, span: Span) -> Vec<(usize, Mutant)> {
        let start = span.start();
        let place = Place {
            line: start.line,
            column: start.column + 1,
        };
        let found = self
            .mutants
            .iter()
            .filter(|((g, p), _)| *g == genre && *p == place);
        let found = found.flat_map(|(_, all)| all.iter().map(|(n, m)| (*n, (*m).clone())));
        if self.constant > 0 {
            return Vec::new();
        }
        found.collect()
    }

    /// `(if mutant(n) { changed } else { as it was })`.
    fn choose(&mut self, whole: Range<usize>, choices: Vec<(usize, String)>, as_it_was: Vec<Part>) {
        let mut text = String::from("(");
        for (number, changed) in choices {
            text += &format!("{}{{ {changed} }} else ", switch(number));
            self.woven.push(number);
        }
        text += "{ ";
        let mut parts = vec![Part::Text(text)];
        parts.extend(as_it_was);
        parts.push(Part::Text(" })".into()));
        self.nodes.push(Node {
            range: whole,
            parts,
        });
    }

    fn body(&mut self, block: &syn::Block) {
        let Some(first) = block.stmts.first() else {
            return;
        };
        let choices = self.at("FnValue", first.span());
        if choices.is_empty() {
            return;
        }
        let start = self.range(first.span()).start;
        let mut text = String::new();
        for (number, mutant) in choices {
            text += &format!("{}{{ return {}; }}\n", switch(number), mutant.replacement);
            self.woven.push(number);
        }
        self.nodes.push(Node {
            range: start..start,
            parts: vec![Part::Text(text)],
        });
    }
}

fn has_let(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Weaver<'_> {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant += 1;
        visit::visit_item_const(self, item);
        self.constant -= 1;
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant += 1;
        visit::visit_impl_item_const(self, item);
        self.constant -= 1;
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant += 1;
        visit::visit_item_static(self, item);
        self.constant -= 1;
    }

    fn visit_type(&mut self, ty: &'ast syn::Type) {
        self.constant += 1;
        visit::visit_type(self, ty);
        self.constant -= 1;
    }

    fn visit_expr_repeat(&mut self, expr: &'ast syn::ExprRepeat) {
        self.visit_expr(&expr.expr);
        self.constant += 1;
        self.visit_expr(&expr.len);
        self.constant -= 1;
    }

    fn visit_pat(&mut self, pat: &'ast syn::Pat) {
        self.constant += 1;
        visit::visit_pat(self, pat);
        self.constant -= 1;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.constant += usize::from(item.sig.constness.is_some());
        self.body(&item.block);
        visit::visit_item_fn(self, item);
        self.constant -= usize::from(item.sig.constness.is_some());
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.constant += usize::from(item.sig.constness.is_some());
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
        self.constant -= usize::from(item.sig.constness.is_some());
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        let choices = self.at("BinaryOperator", expr.op.span());
        let either = has_let(&expr.left) || has_let(&expr.right);
        if !choices.is_empty() && !either {
            let (left, right) = (self.range(expr.left.span()), self.range(expr.right.span()));
            let changed = choices.into_iter().map(|(number, mutant)| {
                let (left, right) = (self.raw(left.clone()), self.raw(right.clone()));
                (number, format!("{left} {} {right}", mutant.replacement))
            });
            let changed = changed.collect();
            let operator = self.raw(left.end..right.start).to_string();
            let parts = vec![
                Part::Woven(left.clone()),
                Part::Text(operator),
                Part::Woven(right.clone()),
            ];
            self.choose(left.start..right.end, changed, parts);
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        let choices = self.at("UnaryOperator", expr.op.span());
        if !choices.is_empty() {
            let operator = self.range(expr.op.span());
            let operand = self.range(expr.expr.span());
            let plain = self.raw(operand.clone()).to_string();
            let changed = choices.into_iter().map(|(n, _)| (n, plain.clone()));
            let parts = vec![
                Part::Text(self.raw(operator.start..operand.start).to_string()),
                Part::Woven(operand.clone()),
            ];
            self.choose(operator.start..operand.end, changed.collect(), parts);
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.at("MatchArm", arm.span());
        let mut added = String::new();
        for (number, _) in &deleted {
            added += &format!("\n!crate::mutant({number})");
            self.woven.push(*number);
        }
        if let Some((_, guard)) = &arm.guard {
            let range = self.range(guard.span());
            let changed = self.at("MatchArmGuard", guard.span());
            let changed = changed.into_iter().map(|(n, m)| (n, m.replacement));
            let changed: Vec<_> = changed.collect();
            if !deleted.is_empty() {
                self.nodes.push(Node {
                    range: range.start..range.start,
                    parts: vec![Part::Text(added + " && ")],
                });
            }
            if !changed.is_empty() {
                let parts = vec![Part::Woven(range.clone())];
                self.choose(range, changed, parts);
            }
        } else if !deleted.is_empty() {
            let end = self.range(arm.pat.span()).end;
            self.nodes.push(Node {
                range: end..end,
                parts: vec![Part::Text(format!(" if {added} "))],
            });
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        let whole = self.range(expr.span());
        let mut choices = Vec::new();
        for pair in expr.fields.pairs() {
            let field = self.range(pair.value().span());
            for (number, _) in self.at("StructField", pair.value().span()) {
                let comma = pair.punct().map(|comma| self.range(comma.span()).end);
                let rest = comma.unwrap_or(field.end)..whole.end;
                let before = self.raw(whole.start..field.start);
                choices.push((number, format!("{before}{}", self.raw(rest))));
            }
        }
        if !choices.is_empty() {
            let parts = vec![Part::Woven(whole.clone())];
            self.choose(whole, choices, parts);
        }
        visit::visit_expr_struct(self, expr);
    }
}

/// All nodes of a file, by where they start; outer ones before inner ones.
struct Nodes<'a> {
    source: &'a str,
    by_start: BTreeMap<usize, Vec<Node>>,
}

impl<'a> Nodes<'a> {
    fn new(source: &'a str, nodes: Vec<Node>) -> Nodes<'a> {
        let mut by_start: BTreeMap<usize, Vec<Node>> = BTreeMap::new();
        for node in nodes {
            by_start.entry(node.range.start).or_default().push(node);
        }
        for same in by_start.values_mut() {
            // Insertions, then the widest; of equals the one visited first is the outer one.
            same.sort_by_key(|node| (!node.range.is_empty(), usize::MAX - node.range.len()));
        }
        Nodes { source, by_start }
    }

    /// The text of a range; `within` is the node it stands in, by start and rank.
    fn render(&self, range: Range<usize>, within: Option<(usize, usize)>) -> String {
        let mut text = String::new();
        let mut at = range.start;
        let mut next = within.filter(|(start, _)| *start == at);
        let mut rank = next.take().map_or(0, |(_, rank)| rank + 1);
        loop {
            let found = self.next_in(at, rank, &range);
            let Some((start, found_rank)) = found else {
                return text + &self.source[at..range.end];
            };
            let node = &self.by_start[&start][found_rank];
            text += &self.source[at..start];
            for part in &node.parts {
                match part {
                    Part::Text(plain) => text += plain,
                    Part::Woven(inner) => {
                        text += &self.render(inner.clone(), Some((start, found_rank)));
                    }
                }
            }
            at = node.range.end;
            rank = if at == start { found_rank + 1 } else { 0 };
        }
    }

    /// The next node from `at` that lies within `range` whole.
    fn next_in(&self, at: usize, rank: usize, range: &Range<usize>) -> Option<(usize, usize)> {
        for (&start, same) in self.by_start.range(at..range.end) {
            let from = if start == at { rank } else { 0 };
            for (found, node) in same.iter().enumerate().skip(from) {
                if node.range.end <= range.end {
                    return Some((start, found));
                }
            }
        }
        None
    }
}
