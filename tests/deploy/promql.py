"""What expressions of PromQL refer to."""

import promql_parser as parser

# Grafana fills these in.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}


def parse(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return parser.parse(expression)


def references(expression):
    """Pairs of a time series and a label, also None, that the expression needs."""
    found = set()
    visit(parse(expression), set(), found)
    return found


def visit(node, wanted, found):
    """`wanted`: labels that an expression around it needs."""
    match node:
        case parser.VectorSelector():
            labels = {matcher.name for matcher in node.matchers.matchers}
            assert node.name, "a selector without a metric"
            found |= {(node.name, label) for label in {None} | labels | wanted}
        case parser.MatrixSelector():
            visit(node.vector_selector, wanted, found)
        case parser.AggregateExpr():
            own = set()
            if node.modifier is not None:
                assert node.modifier.type == parser.AggModifierType.By, "write the labels that stay"
                own = set(node.modifier.labels)
            visit(node.expr, own, found)
        case parser.Call():
            for argument in node.args:
                visit(argument, wanted, found)
        case parser.BinaryExpr():
            on = set()
            if node.modifier is not None and node.modifier.matching is not None:
                on = set(node.modifier.matching.labels)
            visit(node.lhs, wanted | on, found)
            visit(node.rhs, on, found)
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            visit(node.expr, wanted, found)
        case parser.NumberLiteral() | parser.StringLiteral():
            pass
        case _:
            raise AssertionError(f"an unknown part of an expression: {node}")
