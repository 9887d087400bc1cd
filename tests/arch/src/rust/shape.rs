//! What syn's items have in common.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Meta, Type};

/// The name of the type that an `impl` is of.
pub(super) fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        Type::Reference(reference) => type_name(&reference.elem),
        _ => None,
    }
}

/// Whether something is compiled for tests alone.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg = match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg") => needs_test(&list.tokens),
            _ => false,
        };
        cfg || attribute.path().is_ident("test")
    })
}

/// `test`, `all(…, test)`; what `any` and `not` have may be there without tests too.
fn needs_test(condition: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.clone().into_iter().collect();
    let is = |at: usize, word: &str| matches!(&tokens[at], TokenTree::Ident(name) if name == word);
    (0..tokens.len()).any(|at| match &tokens[at] {
        TokenTree::Group(group) => at > 0 && is(at - 1, "all") && needs_test(&group.stream()),
        _ => is(at, "test"),
    })
}

/// The attributes of an item.
pub(super) fn attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
