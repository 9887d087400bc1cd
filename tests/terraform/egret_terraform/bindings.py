"""What the bindings of a provider for the CDK for Terraform say of its schema.

The package has no JSON schema, but its generator writes above every attribute whether it is computed, optional,
required, and says of every one that can be set what type it has and whether it is a block.
"""

import re

ATTRIBUTE = re.compile(
    r"^ +// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n"
    r"(?: +(?:this\.)?_\w+ = new (?:\w+\.)?(\w+)\(this)?",
    re.M,
)
# Compiled for older runtimes, a field without a value is left out, and its comment with it. Its accessors remain: what
# can be set has a setter, and what may be left out a reset.
GETTER = re.compile(r"^    get (\w+)\(\) \{\n +return .*\('(\w+)'\)\)?;$", re.M)
CLASS = re.compile(r"^class (\w+) extends cdkt[fn]\.(\w+) \{\n(.*?)^\}", re.M | re.S)
FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.M | re.S)
WRITTEN = re.compile(
    r"^ +(\w+): \{\n +value: (.*),\n +isBlock: (\w+),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\",", re.M
)
# Attributes that only the cloud sets are never written: their getters know the type, or the objects that they are made of.
READ = re.compile(r"(tolist\()?this\.get(\w*)Attribute\('(\w+)'\)")
MADE = re.compile(r"_\w+ = new (?:\w+\.)?(\w+)\(this, [\"'](\w+)[\"'](?:, (true|false))?\)")

ROOTS = ("TerraformResource", "TerraformDataSource", "TerraformProvider")
SIMPLE = {"string": "string", "number": "number", "boolean": "bool"}
GOT = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
}
LISTS = {"List": "string", "NumberList": "number"}
# Nothing knows better: any value fits.
ANY = "dynamic"


def type_written(kind: str, storage: str):
    """("set", "stringList") → ["set", "string"], as JSON of Terraform's types; nothing for objects."""
    if kind == "simple":
        return SIMPLE.get(storage, ANY)
    element = SIMPLE.get(re.sub(r"(List|Map)$", "", storage))
    return [kind, element] if element else None


def types_read(body: str) -> dict:
    """Name → type, or (nesting, class) where a class has the attributes."""
    found: dict = {}
    for as_set, what, name in READ.findall(body):
        if what in LISTS:
            found[name] = ["set" if as_set else "list", LISTS[what]]
        else:
            found[name] = GOT.get(what, ANY)
    for made, name, as_set in MADE.findall(body):
        found[name] = GOT.get(made) or ("set" if as_set == "true" else "list", made)
    return found


def inner_class(name: str) -> str:
    return name.removesuffix("List") + "OutputReference" if name.endswith("List") else name


class Bindings:
    """The classes and functions of one resource."""

    def __init__(self, source: str):
        self.classes, self.root, self.provider = {}, None, False
        for name, base, body in CLASS.findall(source):
            self.classes[name] = body
            if base in ROOTS:
                self.root, self.provider = name, base == "TerraformProvider"
        if self.root is None:
            raise ValueError("no class of a resource in it")
        self.type = re.search(r'\btfResourceType = "(\w+)"', source)[1]
        self.functions = {name.lower(): body for name, body in FUNCTION.findall(source)}

    def written(self, name: str) -> dict:
        """Name → (block, one only, list or set or single, type; the type is nothing for objects)."""
        body = self.classes[self.root] if name == self.root else self.functions.get(name.lower(), "")
        return {
            attribute: (
                block == "true",
                "listMapperHcl" not in value,
                "single" if kind == "struct" else kind,
                type_written(kind, storage),
                storage.removesuffix("List"),
            )
            for attribute, value, block, kind, storage in WRITTEN.findall(body)
        }

    def attributes(self, name: str) -> dict:
        """Of a class: name → computed, optional, required, block, nested, and what a provider would say besides."""
        found, body = {}, self.classes[name]
        plain = name.removesuffix("OutputReference")
        written, read = self.written(plain), types_read(body)

        def add(attribute, computed, optional, required, nested):
            block, one, nesting, kind, _ = written.get(attribute, (False, False, "list", None, ""))
            if kind is None and attribute in read:
                kind = read[attribute]
                if isinstance(kind, tuple):
                    nesting, kind = (nesting if block else kind[0]), None
            inner = self.attributes(inner_class(nested)) if inner_class(nested) in self.classes else None
            found[attribute] = {
                "computed": computed,
                "optional": optional,
                "required": required,
                "block": block,
                "nested": inner,
                "one": one,
                "nesting": nesting,
                "type": kind if inner is None else None,
            }

        for attribute, computed, optional, required, nested in ATTRIBUTE.findall(body):
            add(attribute, computed == "true", optional == "true", required == "true", nested)
        for accessor, attribute in GETTER.findall(body):
            if attribute not in found and f"    set {accessor}(value)" in body:
                optional = f"    reset{accessor[0].upper()}{accessor[1:]}()" in body
                add(attribute, False, optional, not optional, "")
        return found

    def settings(self, name: str) -> dict:
        """Of a provider: its blocks have no classes, and nothing says what is required."""
        return {
            attribute: {
                "computed": False,
                "optional": True,
                "required": False,
                "block": block,
                "nested": self.settings(storage) if block else None,
                "one": one,
                "nesting": nesting,
                "type": None if block else kind or ANY,
            }
            for attribute, (block, one, nesting, kind, storage) in self.written(name).items()
        }


def parse(source: str) -> tuple[str, dict]:
    """The type's name and its attributes."""
    bindings = Bindings(source)
    read = bindings.settings if bindings.provider else bindings.attributes
    return bindings.type, read(bindings.root)
