use proc_macro2::TokenTree;
use syn::{ImplItem, Visibility};

use super::mentions;
use super::parts::{Definition, Module};
use super::shape::{attributes, is_for_tests, type_name};

/// What a module with these items holds.
pub(super) fn module(name: &str, items: &[syn::Item]) -> Module {
    let mut module = Module { name: name.to_owned(), ..Module::default() };
    for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
        match item {
            syn::Item::Mod(inner) => match &inner.content {
                Some((_, items)) => {
                    module.inline.push(self::module(&inner.ident.to_string(), items));
                }
                None => module.declared.push(inner.ident.to_string()),
            },
            item => {
                define(item, &mut module.items);
                mentions::collect(item, &mut module);
            }
        }
    }
    // `pub(super) use name;` is what lets a macro out.
    let let_out = |name: &str| {
        module.imports.iter().any(|import| import.public && import.path == [name.to_owned()])
    };
    for item in module.items.iter_mut().filter(|item| item.kind == "macro") {
        item.visible |= let_out(&item.name);
    }
    module
}

fn define(item: &syn::Item, items: &mut Vec<Definition>) {
    let (kind, name, visibility) = match item {
        syn::Item::Fn(item) => ("fn", &item.sig.ident, &item.vis),
        syn::Item::Struct(item) => ("struct", &item.ident, &item.vis),
        syn::Item::Enum(item) => ("enum", &item.ident, &item.vis),
        syn::Item::Union(item) => ("union", &item.ident, &item.vis),
        syn::Item::Trait(item) => ("trait", &item.ident, &item.vis),
        syn::Item::Type(item) => ("type", &item.ident, &item.vis),
        syn::Item::Const(item) => ("const", &item.ident, &item.vis),
        syn::Item::Static(item) => ("static", &item.ident, &item.vis),
        syn::Item::Impl(item) => return define_methods(item, items),
        syn::Item::Macro(item) => return define_by_macro(item, items),
        _ => return,
    };
    items.push(Definition {
        kind,
        name: name.to_string(),
        visible: is_visible(visibility),
        of: None,
    });
}

fn define_methods(block: &syn::ItemImpl, items: &mut Vec<Definition>) {
    if block.trait_.is_some() {
        return;
    }
    let of = type_name(&block.self_ty);
    for item in &block.items {
        let (kind, attributes, name, visibility) = match item {
            ImplItem::Fn(item) => ("fn", &item.attrs, &item.sig.ident, &item.vis),
            ImplItem::Const(item) => ("const", &item.attrs, &item.ident, &item.vis),
            _ => continue,
        };
        if !is_for_tests(attributes) {
            let visible = is_visible(visibility);
            items.push(Definition { kind, name: name.to_string(), visible, of: of.clone() });
        }
    }
}

/// The macro that a `macro_rules!` defines, or the type that a call of one does: its only name in
/// CamelCase that stands in no brackets. (Several are the variants of one enum.)
fn define_by_macro(item: &syn::ItemMacro, items: &mut Vec<Definition>) {
    if let Some(name) = &item.ident {
        let visible = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
        items.push(Definition { kind: "macro", name: name.to_string(), visible, of: None });
        return;
    }
    let names = item.mac.tokens.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    });
    let is_camel =
        |name: &String| name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
    let mut names = names.filter(is_camel);
    if let (Some(name), None) = (names.next(), names.next()) {
        items.push(Definition { kind: "name!", name, visible: true, of: None });
    }
}

fn is_visible(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => true,
        Visibility::Restricted(to) => !to.path.is_ident("self"),
        _ => false,
    }
}
