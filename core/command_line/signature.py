"""Signatures and classes read from source text, so that a command line is checked before torch is imported.

Only files are parsed; nothing is executed. What cannot be read this way (compiled code, names made at run time) has no
signature here and is checked by ``core/build.py`` once the job starts.
"""

import ast
import collections.abc
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Optional, Union

from core.command_line.hints import Instance
from core.command_line.zoo import ROOT
from core.errors import PROJECT

_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "None": None, "Any": Any, "object": object}
_PATHS = {"Path": Path, "PathLike": Path}
_CONTAINERS = {
    **dict.fromkeys(("list", "List", "set", "Set", "Sequence", "Iterable", "Collection"), list),
    **dict.fromkeys(("tuple", "Tuple"), tuple),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), dict),
    "Callable": collections.abc.Callable,
}
_LONGEST_CHAIN = 12  # imports followed from a name to its definition; more is a circle


@dataclass(frozen=True, eq=False)
class Source:
    """A parsed module and the names bound at its top level."""

    module: str
    is_package: bool
    names: dict[str, ast.AST | tuple[str, str]]  # a definition, or (module, name) for an import; name "" is the module


@dataclass(frozen=True)
class Parameter:
    """One parameter of a callable; annotation and default are evaluated when asked for."""

    name: str
    annotation: ast.expr | None = field(repr=False)
    default: ast.expr | None = field(repr=False)
    source: Source = field(repr=False)

    @property
    def required(self) -> bool:
        """Whether a call has to give it."""
        return self.default is None

    @property
    def hint(self) -> Any:
        """The annotation as a type, ``Any`` for what cannot be read."""
        return Any if self.annotation is None else evaluate(self.annotation, self.source)

    @property
    def requirement(self) -> str | None:
        """The condition in ``Annotated[int, "0 < steps"]``, None without one."""
        node = self.annotation
        if not isinstance(node, ast.Subscript) or ast.unparse(node.value).rpartition(".")[2] != "Annotated":
            return None
        texts = (_literal(argument) for argument in node.slice.elts[1:])
        return next((text for text in texts if isinstance(text, str)), None)

    @property
    def default_value(self) -> Any:
        """The default where it is a literal, else ``...``."""
        return ... if self.default is None else _literal(self.default)


@dataclass(frozen=True)
class Signature:
    """What a target takes.

    Args:
        target: Dotted path of the definition, after following imports.
        parameters: By name, without ``self``.
        is_open: Whether it takes further names that are not known here.
        returns: Dotted path of the class that a call returns, None when unknown.
    """

    target: str
    parameters: dict[str, Parameter]
    is_open: bool
    returns: str | None


@cache
def source(module: str) -> Source | None:
    """Parse a module of the project or of an installed package; None when it has no Python file."""
    top, *rest = module.split(".")
    if top in PROJECT:
        base = ROOT / top
    else:
        spec = importlib.util.find_spec(top)
        if spec is None or spec.origin is None:
            return None
        base = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin).with_suffix("")
    path = base.joinpath(*rest)
    for file, is_package in ((path / "__init__.py", True), (path.with_suffix(".py"), False)):
        if file.is_file():
            tree = ast.parse(file.read_text(encoding="utf-8"))
            return Source(module, is_package, dict(_bindings(tree.body, module, is_package)))
    return None


def _bindings(body: list[ast.stmt], module: str, is_package: bool) -> Iterator[tuple[str, Any]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if is_package else module.split(".")[:-1]
            base = base[: len(base) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((alias.asname or alias.name, (origin, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.split(".")[0],
                    (alias.name if alias.asname else alias.name.split(".")[0], ""),
                )
        elif isinstance(node, ast.If):
            yield from _bindings([*node.orelse, *node.body], module, is_package)
        elif isinstance(node, ast.Try):
            yield from _bindings(node.body, module, is_package)


def locate(dotted: str, _steps: int = 0) -> tuple[Source, ast.AST, str] | None:
    """Find the definition that a dotted path means.

    Returns:
        Module, syntax node and dotted path of the definition, or None when it cannot be found in source text.
    """
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = source(".".join(parts[:cut]))
        if module is None:
            continue
        name, rest = parts[cut], parts[cut + 1 :]
        found = module.names.get(name)
        if isinstance(found, tuple) and _steps < _LONGEST_CHAIN:
            return locate(".".join(filter(None, [*found, *rest])), _steps + 1)
        return None if rest or not isinstance(found, ast.AST) else (module, found, f"{module.module}.{name}")
    return None


def resolve(node: ast.expr, where: Source) -> str | None:
    """Dotted path of the name or attribute ``node``, as seen from module ``where``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return resolve(ast.parse(node.value, mode="eval").body, where)
    if isinstance(node, ast.Attribute):
        head = resolve(node.value, where)
        return None if head is None else f"{head}.{node.attr}"
    if not isinstance(node, ast.Name):
        return None
    found = where.names.get(node.id)
    if isinstance(found, tuple):
        return ".".join(filter(None, found))
    return f"{where.module}.{node.id}" if found is not None else None


def lineage(target: str) -> list[tuple[Source, ast.AST, str]]:
    """The class that ``target`` means and its ancestors, nearest first; a base that cannot be read ends its branch."""
    found = locate(target)
    if found is None or not isinstance(found[1], ast.ClassDef):
        return []
    where, definition, _ = found
    bases = [resolve(base, where) for base in definition.bases]
    return [found, *(entry for base in bases if base is not None for entry in lineage(base))]


def is_subclass(target: str, ancestor: str) -> bool | None:
    """Whether class ``target`` derives from ``ancestor``; None when source text cannot tell."""
    meant, classes = locate(ancestor), lineage(target)
    if meant is None or not classes:
        return None
    return meant[2] in {name for _, _, name in classes}


def class_literal(target: str, name: str) -> Any:
    """Value of a literal class attribute, the nearest definition among the ancestors; None when there is none."""
    for where, definition, _ in lineage(target):
        if where.module.partition(".")[0] not in PROJECT:
            continue
        for node in definition.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(one, ast.Name) and one.id == name for one in targets) and node.value is not None:
                return ast.literal_eval(node.value)
    return None


def defines(target: str, name: str) -> bool | None:
    """Whether class ``target`` or an ancestor of it in the project binds ``name``; None for no class of the project."""
    own = [entry for entry in lineage(target) if entry[0].module.partition(".")[0] in PROJECT]
    return any(name in dict(_bindings(entry[1].body, entry[0].module, False)) for entry in own) if own else None


@cache
def signature(target: str) -> Signature | None:
    """Signature of a class or function, None when it cannot be read from source text."""
    found = locate(target)
    if found is None:
        return None
    where, definition, name = found
    if isinstance(definition, ast.FunctionDef):
        parameters, is_open = _parameters(definition, where, bound=False)
        return Signature(name, parameters, is_open, definition.returns and _class_of(definition.returns, where))
    if not isinstance(definition, ast.ClassDef):
        return None
    parameters, is_open = _constructor(lineage(target))
    return Signature(name, parameters, is_open, name)


def _constructor(classes: list[tuple[Source, ast.AST, str]]) -> tuple[dict[str, Parameter], bool]:
    """Parameters of the nearest constructor; those of the next one too where it hands on ``**kwargs``."""
    for index, (where, definition, _) in enumerate(classes):
        if any(
            ast.unparse(decorator).startswith(("dataclass", "dataclasses.")) for decorator in definition.decorator_list
        ):
            fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
            made = [Parameter(node.target.id, node.annotation, node.value, where) for node in fields]
            return {parameter.name: parameter for parameter in made}, False
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                parameters, is_open = _parameters(node, where, bound=True)
                given = _handed_on(node)
                if is_open and given is not None:
                    inherited, is_open = _constructor(classes[index + 1 :])
                    parameters = {**{n: p for n, p in inherited.items() if n not in given}, **parameters}
                return parameters, is_open
    return {}, True


def _handed_on(constructor: ast.FunctionDef) -> set[str | None] | None:
    """Names that a constructor gives to ``super().__init__`` beside its ``**kwargs``; None where it keeps those."""
    for call in ast.walk(constructor):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
            names = {keyword.arg for keyword in call.keywords}
            if None in names:  # how ``**kwargs`` is written in a call
                return names
    return None


def _parameters(function: ast.FunctionDef, where: Source, bound: bool) -> tuple[dict[str, Parameter], bool]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    without = [None] * (len(positional) - len(given.defaults))
    pairs = [
        *zip(positional, [*without, *given.defaults], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    parameters = {a.arg: Parameter(a.arg, a.annotation, default, where) for a, default in pairs[1 if bound else 0 :]}
    return parameters, given.kwarg is not None


def _class_of(annotation: ast.expr, where: Source) -> str | None:
    """Dotted path of the class that an annotation names, ``None`` for unions and the like."""
    dotted = resolve(annotation, where)
    found = dotted and locate(dotted)
    return found[2] if found and isinstance(found[1], ast.ClassDef) else None


def classes_of(annotation: ast.expr | None, where: Source) -> list[str] | None:
    """Dotted paths of the classes that an annotation allows; None when one of them cannot be read."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        arms = [annotation.left, annotation.right]
        found = [classes_of(arm, where) for arm in arms if not _is_none(arm)]
        return None if any(one is None for one in found) else [name for one in found for name in one]
    one = None if annotation is None else _class_of(annotation, where)
    return None if one is None else [one]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def evaluate(node: ast.expr, where: Source, _steps: int = 0) -> Any:
    """Turn an annotation into a type that ``core.command_line.hints.fits`` understands.

    Classes become ``Instance``; what cannot be read becomes ``Any``.
    """
    if _steps > _LONGEST_CHAIN:
        return Any
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):  # a quoted annotation
            return evaluate(ast.parse(node.value, mode="eval").body, where, _steps + 1)
        return node.value if node.value is None or node.value is Ellipsis else Any
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[evaluate(node.left, where, _steps), evaluate(node.right, where, _steps)]  # noqa: UP007 values
    if isinstance(node, ast.Subscript):
        return _subscript(node, where, _steps)
    if not isinstance(node, ast.Name | ast.Attribute):
        return Any
    name = node.attr if isinstance(node, ast.Attribute) else node.id
    for table in (_PLAIN, _PATHS, _CONTAINERS):
        if name in table:
            return table[name]
    if where.module.partition(".")[0] in PROJECT or not name[:1].isupper() or name.isupper():
        dotted = resolve(node, where)
        found = dotted and dotted.partition(".")[0] not in {"typing", "collections", "torch"} and locate(dotted)
        if found and isinstance(found[1], ast.expr):  # an alias: Focus = Literal[...]
            return evaluate(found[1], found[0], _steps + 1)
        if found and isinstance(found[1], ast.ClassDef):
            return Any if any(ast.unparse(base).endswith("Enum") for base in found[1].bases) else Instance
    # Elsewhere a capitalised name is taken for a class, which saves reading the packages it comes from.
    return Instance if name[:1].isupper() and not name.isupper() else Any


def _subscript(node: ast.Subscript, where: Source, steps: int) -> Any:
    name = ast.unparse(node.value).rpartition(".")[2]
    arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        values = [_literal(argument) for argument in arguments]
        return Any if any(value is ... for value in values) else Literal[tuple(values)]
    if name == "Callable":
        return collections.abc.Callable
    arms = tuple(evaluate(argument, where, steps) for argument in arguments)
    if name == "Optional":
        return Optional[arms[0]]  # noqa: UP045 values
    if name == "Union":
        return Union[arms]  # noqa: UP007 values
    if name in ("Annotated", "Final"):
        return arms[0]
    return _CONTAINERS[name][arms] if name in _CONTAINERS else Any


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...
