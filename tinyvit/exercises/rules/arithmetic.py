"""What is easily written in the place of a sum, a product, a quotient, a matrix product, a comparison, a number."""

import ast
import functools

from tinyvit.exercises.rules.syntax import filled, named, text_of


def operation(node, parents, tree):
    of = {ast.Add: _sum, ast.Sub: _sum, ast.Mult: _product, ast.Div: _quotient, ast.MatMult: _matrix_product}
    return of[type(node.op)](node, parents, tree) if type(node.op) in of else ()


def _sum(node, parents, tree):
    """a + b, a - b"""
    a, b, plus = node.left, node.right, isinstance(node.op, ast.Add)
    yield "missing term", f"the term {named(b)} is missing", a
    if isinstance(a, ast.BinOp) and isinstance(a.op, ast.Mult):
        within = ast.BinOp(ast.BinOp(a.left, node.op, b), ast.Mult(), a.right)
        yield "order", f"{named(b)} is multiplied by {named(a.right)} as well", within
    overwritten = isinstance(parents[node], ast.Assign) and text_of(parents[node].targets[0]) == text_of(a)
    if overwritten and (isinstance(a, ast.Subscript) or in_loop(node, parents)):
        yield "missing term", f"{named(a)} is overwritten, not added to,", b
    else:
        yield "missing term", f"the term {named(a)} is missing", b if plus else ast.UnaryOp(ast.USub(), b)
    yield "sign", f"{named(b)} has the wrong sign", ast.BinOp(a, ast.Sub() if plus else ast.Add(), b)
    yield "sign", f"{named(a)} has the wrong sign", ast.BinOp(b, ast.Sub(), a)
    yield "value", f"{named(a)} and {named(b)} are multiplied", ast.BinOp(a, ast.Mult(), b)
    if not isinstance(a, ast.Constant):
        yield "scale", f"the term {named(a)} is there twice", ast.BinOp(a, ast.Add(), node)
    if not isinstance(b, ast.Constant):
        yield "scale", f"the term {named(b)} is there twice", ast.BinOp(node, node.op, b)
    if text_of(a).startswith("np.sqrt("):
        inside = ast.BinOp(a.args[0], node.op, b)
        yield "value", f"{named(b)} stands in the root, not outside,", ast.Call(a.func, [inside], [])


def in_loop(node, parents):
    while node in parents and not isinstance(node, ast.For):
        node = parents[node]
    return isinstance(node, ast.For)


def _product(node, parents, tree):
    """a * b"""
    a, b = node.left, node.right
    for one, other in ((b, a), (a, b)):
        yield "missing term", f"the factor {named(one)} is missing", other
    for one, other in ((b, a), (a, b)):
        yield "scale", f"the factor {named(one)} is there twice", ast.BinOp(node, ast.Mult(), one)
        yield "scale", f"{named(other)} is divided by {named(one)}, not multiplied,", ast.BinOp(other, ast.Div(), one)
    yield "value", f"{named(a)} and {named(b)} are added, not multiplied,", ast.BinOp(a, ast.Add(), b)
    yield from _scaled(node)
    yield from _multiplied_out(a, b)
    yield from _multiplied_out(b, a)


def _multiplied_out(total, factor):
    """(a + b) * factor, as a * factor + b * factor: with another power of the factor in one of the terms."""
    terms = _terms(total)
    for i, (term, _) in enumerate(terms if len(terms) > 1 else ()):
        squared = ast.BinOp(ast.BinOp(term, ast.Mult(), factor), ast.Mult(), factor)
        for kind, says, wrong in (
            ("missing term", f"the factor {named(factor)} is missing in the term {named(term)}", term),
            ("scale", f"the factor {named(factor)} is there twice in the term {named(term)}", squared),
        ):
            parts = [(ast.BinOp(each, ast.Mult(), factor), op) for each, op in terms]
            parts[i] = wrong, terms[i][1]
            yield (
                kind,
                says,
                functools.reduce(lambda left, part: ast.BinOp(left, part[1], part[0]), parts[1:], parts[0][0]),
            )


def _terms(node):
    """[(a, +), (b, +), (c, -)] of a + b - c."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return [*_terms(node.left), (node.right, node.op)]
    return [(node, ast.Add())]


def _scaled(node):
    for factor in (2, 0.5):
        yield "scale", f"a factor {factor} is too much", ast.BinOp(ast.Constant(factor), ast.Mult(), node)


def _quotient(node, parents, tree):
    """a / b"""
    a, b = node.left, node.right
    yield "missing term", f"the division by {named(b)} is missing", a
    yield "scale", f"{named(a)} is multiplied by {named(b)}, not divided,", ast.BinOp(a, ast.Mult(), b)
    yield "scale", f"{named(b)} is divided by {named(a)}: it is the other way round", ast.BinOp(b, ast.Div(), a)
    yield "scale", f"the division by {named(b)} is there twice", ast.BinOp(node, ast.Div(), b)
    for step, op in (("- 1", ast.Sub()), ("+ 1", ast.Add())):
        other = ast.BinOp(a, ast.Div(), ast.BinOp(b, op, ast.Constant(1)))
        yield "scale", f"{named(a)} is divided by {text_of(b)} {step}, not by {text_of(b)},", other


def _matrix_product(node, parents, tree):
    """a @ b"""
    a, b = node.left, node.right
    for one, new in ((a, ast.BinOp(_swapped(a), ast.MatMult(), b)), (b, ast.BinOp(a, ast.MatMult(), _swapped(b)))):
        yield "order", f"{named(one)} is transposed", new
    yield "order", f"{named(b)} stands to the left of {named(a)}", ast.BinOp(b, ast.MatMult(), a)
    yield "value", f"{named(a)} and {named(b)} are multiplied entry by entry", ast.BinOp(a, ast.Mult(), b)
    last = filled("_0[..., -1:]", a), filled("_0[..., -1:, :]", b)
    says = f"only the last term of the sum in {named(node)} is there"
    yield "missing term", says, ast.BinOp(last[0], ast.MatMult(), last[1])
    yield "scale", f"{named(node)} is a mean, not a sum,", filled("_0 / _1.shape[-1]", node, a)
    yield from _scaled(node)


def _swapped(node):
    return filled("_0.swapaxes(-1, -2)", node)


def negative(node, parents, tree):
    if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", f"the minus of {named(node.operand)} is missing", node.operand


def comparison(node, parents, tree):
    for other, words in ((ast.Gt, ">"), (ast.GtE, ">="), (ast.Lt, "<"), (ast.LtE, "<="), (ast.NotEq, "!=")):
        if not isinstance(node.ops[0], other | ast.Is | ast.IsNot | ast.In | ast.NotIn):
            yield "value", f"`{words}` compares", ast.Compare(node.left, [other()], node.comparators)
    if isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
        for op in (ast.Add(), ast.Sub()):
            moved = ast.Compare(node.left, node.ops, [ast.BinOp(node.comparators[0], op, ast.Constant(1))])
            yield "order", f"`{text_of(moved)}` is asked: that is one off", moved


def constant(node, parents, tree):
    if type(node.value) in (int, float) and not isinstance(
        parents[node], ast.Subscript | ast.Tuple | ast.keyword | ast.UnaryOp
    ):
        value = node.value
        for other in dict.fromkeys((value + 1, value - 1, 2 * value, value / 2, value / 10, value * 10)):
            if other != value:
                of_product = isinstance(getattr(parents[node], "op", None), ast.Mult | ast.Div)
                kind = "scale" if of_product else "value"
                yield kind, f"{other:g} stands in the place of {value}", ast.Constant(other)
