//! Tests of the whole stage: from a completion to a candidate or a verdict.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quote::ToTokens;

use super::*;
use crate::spec::{Budget, Form, Function, Interface, Method, Policy, PromptOptions, Sampling, Snippet, TypeDef};
use crate::verdict::Outcome;

/// A spec of one function.
fn spec(signature: &str) -> Spec {
    interface(&format!("{signature};"), &[])
}

/// A spec from an interface as the spec's own parser reads it, made by hand.
fn interface(text: &str, imports: &[&str]) -> Spec {
    let mut interface = Interface {
        form: Form::Interface,
        source: Snippet::new(text),
        functions: Vec::new(),
        methods: Vec::new(),
        given: Vec::new(),
        wanted_types: Vec::new(),
        imports: imports.iter().map(ToString::to_string).collect(),
    };
    let bodied = text.replace(") -> Self;", ") -> Self { todo!() }");
    let text = format!("{} ", bodied).replace("; ", "; ");
    // A function without a body parses when its `;` is made a body.
    let file: syn::File = syn::parse_str(&with_bodies(&text)).unwrap();
    for item in file.items {
        match item {
            syn::Item::Fn(item) => interface.functions.push(function(&item.vis, &item.sig)),
            syn::Item::Impl(item) => {
                let mut header = item.clone();
                header.items.clear();
                let header = header.to_token_stream().to_string();
                let header = header.trim_end_matches("{ }").trim().to_string();
                for inner in &item.items {
                    if let syn::ImplItem::Fn(inner) = inner {
                        interface.methods.push(Method {
                            header: header.clone(),
                            on: names::type_name(&item.self_ty).unwrap(),
                            function: function(&inner.vis, &inner.sig),
                        });
                    }
                }
            }
            syn::Item::Struct(item) if matches!(item.fields, syn::Fields::Unit) => {
                interface.wanted_types.push(item.ident.to_string());
            }
            item => interface.given.push(TypeDef {
                name: names::name_of(&item).unwrap(),
                source: prettyplease::unparse(&file_of(vec![item])),
            }),
        }
    }
    Spec {
        name: "sample".into(),
        description: "A sample.".into(),
        interface,
        examples: Vec::new(),
        properties: Vec::new(),
        tests: None,
        hidden_tests: None,
        uses: Vec::new(),
        dependencies: BTreeMap::new(),
        policy: Policy::default(),
        model: Vec::new(),
        sampling: Sampling::default(),
        budget: Budget::default(),
        prompt: PromptOptions::default(),
    }
}

fn with_bodies(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.trim_end().strip_suffix(';') {
            Some(head) if line.contains("fn ") && !line.contains('{') => out.push_str(&format!("{head} {{}}\n")),
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

fn function(visibility: &syn::Visibility, signature: &syn::Signature) -> Function {
    Function {
        name: signature.ident.to_string(),
        signature: format!("{} {}", visibility.to_token_stream(), signature.to_token_stream()),
        inputs: Vec::new(),
        output: String::new(),
        generic: false,
    }
}

#[test]
#[ignore]
fn scratch_all_real_replies() {
    let out = std::path::Path::new("/tmp/cand_out");
    std::fs::create_dir_all(out).unwrap();
    let text = std::fs::read_to_string("/work/shared/problems/mbpp-completions.jsonl").unwrap();
    let mut bad = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let get = |key: &str| row[key].as_str().unwrap().to_string();
        let yaml = std::fs::read_to_string(format!("/work/shared/problems/mbpp/{}.yaml", get("spec"))).unwrap();
        let value: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
        let signature = value["signature"].as_str().unwrap();
        let imports = if signature.contains("HashMap") { vec!["use std::collections::HashMap;"] } else { vec![] };
        let spec = interface(&format!("{signature};"), &imports);
        match from_completion(&get("completion"), Finish::Stop, &spec) {
            Ok(candidate) => {
                std::fs::write(out.join(format!("{}__{}.rs", get("verdict"), get("id"))), &candidate.source).unwrap();
                println!("{} {} {:?}", get("id"), get("verdict"), candidate.notes);
                let again = from_source(&candidate.source, &spec).unwrap();
                assert_eq!(again.source, candidate.source);
            }
            Err(verdict) => {
                bad += 1;
                println!("{} {} REJECTED {:?} {}", get("id"), get("verdict"), verdict.code, verdict.detail);
            }
        }
    }
    println!("rejected {bad}");
}
