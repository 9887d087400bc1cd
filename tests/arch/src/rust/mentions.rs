use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Meta, UseTree, Visibility};

use super::parts::{Import, Mention, Module};
use super::shape::{attributes, is_for_tests, type_name};
use super::tokens::{self, Found};

/// Puts what `item` imports and mentions into `module`.
pub(super) fn collect(item: &syn::Item, module: &mut Module) {
    Collector { module, within: Vec::new(), bound: BTreeSet::new() }.visit_item(item);
}

struct Collector<'a> {
    module: &'a mut Module,
    within: Vec<String>,
    /// Variables of the function: a name of them alone is no item's.
    bound: BTreeSet<String>,
}

impl Collector<'_> {
    fn inside(&mut self, name: Option<String>, walk: impl FnOnce(&mut Self)) {
        let depth = self.within.len();
        self.within.extend(name);
        walk(self);
        self.within.truncate(depth);
    }

    fn function(&mut self, name: &syn::Ident, bindings: Bindings, walk: impl FnOnce(&mut Self)) {
        let outer = self.bound.clone();
        self.bound.extend(bindings.0);
        self.inside(Some(name.to_string()), walk);
        self.bound = outer;
    }

    fn mention(&mut self, path: Vec<String>, of_value: bool) {
        let within = self.within.clone();
        self.module.mentions.push(Mention { path, of_value, within });
    }

    fn found(&mut self, found: Vec<Found>) {
        for found in found {
            let bound = found.path.len() == 1 && self.bound.contains(&found.path[0]);
            if found.called || found.of_value || !bound {
                self.mention(found.path, found.of_value);
            }
        }
    }

    fn path(&mut self, path: &syn::Path, called: bool) {
        let names = names(path);
        let bound = names.len() == 1 && self.bound.contains(&names[0]);
        if path.leading_colon.is_none() && (called || !bound) {
            self.mention(names, false);
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        let name = match item {
            syn::Item::Const(item) => Some(item.ident.to_string()),
            syn::Item::Enum(item) => Some(item.ident.to_string()),
            syn::Item::Impl(item) => type_name(&item.self_ty),
            syn::Item::Macro(item) => item.ident.as_ref().map(ToString::to_string),
            syn::Item::Static(item) => Some(item.ident.to_string()),
            syn::Item::Struct(item) => Some(item.ident.to_string()),
            syn::Item::Trait(item) => Some(item.ident.to_string()),
            syn::Item::Type(item) => Some(item.ident.to_string()),
            syn::Item::Union(item) => Some(item.ident.to_string()),
            _ => None,
        };
        self.inside(name, |inside| visit::visit_item(inside, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let mut bindings = Bindings::default();
        bindings.visit_item_fn(item);
        self.function(&item.sig.ident, bindings, |inside| visit::visit_item_fn(inside, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            let mut bindings = Bindings::default();
            bindings.visit_impl_item_fn(item);
            let walk = |inside: &mut Self| visit::visit_impl_item_fn(inside, item);
            self.function(&item.sig.ident, bindings, walk);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        let mut bindings = Bindings::default();
        bindings.visit_trait_item_fn(item);
        self.function(&item.sig.ident, bindings, |inside| visit::visit_trait_item_fn(inside, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        let name = Some(item.ident.to_string());
        self.inside(name, |inside| visit::visit_impl_item_const(inside, item));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // From other crates alone.
        if item.leading_colon.is_none() {
            let public = !matches!(item.vis, Visibility::Inherited);
            imports(&item.tree, &mut Vec::new(), public, &mut self.module.imports);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path, false);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        match &expression.qself {
            Some(of) if of.position == 0 => {
                self.visit_type(&of.ty);
                self.mention(names(&expression.path), true);
            }
            _ => visit::visit_expr_path(self, expression),
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        // `let x = x(…)` calls an item.
        if let Expr::Path(function) = &*call.func
            && function.qself.is_none()
            && function.path.get_ident().is_some()
        {
            self.path(&function.path, true);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.mention(vec![call.method.to_string()], true);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        // A constant, a unit or a variant: syn cannot tell it from a variable.
        let name = pattern.ident.to_string();
        if name.starts_with(char::is_uppercase) {
            self.mention(vec![name], false);
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.path(&call.path, true);
        self.found(tokens::in_macro(&call.tokens));
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.found(tokens::in_attribute(&list.tokens)),
            Meta::Path(path) => self.path(path, true),
            // `doc = …`, `path = …`
            Meta::NameValue(_) => {}
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn imports(tree: &UseTree, before: &mut Vec<String>, public: bool, found: &mut Vec<Import>) {
    let with = |before: &[String], name: &syn::Ident| {
        let mut path = before.to_vec();
        // `{self, …}` is what stands before the braces.
        if name != "self" || before.is_empty() {
            path.push(name.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(part) => {
            before.push(part.ident.to_string());
            imports(&part.tree, before, public, found);
            before.pop();
        }
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| imports(tree, before, public, found));
        }
        UseTree::Glob(_) => found.push(Import { path: before.clone(), name: None, public }),
        UseTree::Name(name) => {
            let path = with(before, &name.ident);
            found.push(Import { name: path.last().cloned(), path, public });
        }
        UseTree::Rename(name) => {
            let path = with(before, &name.ident);
            found.push(Import { path, name: Some(name.rename.to_string()), public });
        }
    }
}

/// The variables that a function binds, its parameters among them.
#[derive(Default)]
struct Bindings(BTreeSet<String>);

impl<'ast> Visit<'ast> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        let name = pattern.ident.to_string();
        if name.starts_with(|letter: char| !letter.is_uppercase()) {
            self.0.insert(name);
        }
        visit::visit_pat_ident(self, pattern);
    }
}
