"""The Go SDK: models by oapi-codegen, resources, codes of errors and the runner's table by this file.

oapi-codegen gets a document without paths: what its client does (retries, pages, operations) is in the core, by hand.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdks.generate.description import ASKS_FOR_APPROVAL, Answer, Api, Json, Method, Parameter
from sdks.generate.go_models import EXTRA, HEAD, LIMIT_S, is_envelope, models
from sdks.generate.go_names import camel, class_name, local, resource, sentence, sentinel, service, singular
from sdks.generate.languages import program

STREAM: Final = "text/event-stream"
# Codes that are called as the class of their status are that class.
STATUS_CLASSES: Final = frozenset({"ConflictError", "PreconditionFailedError", "UnsupportedMediaTypeError"})
# Methods that the core has by hand.
BY_HAND: Final = frozenset({"operations.events"})


def generate(api: Api, out: Path) -> None:
    """Write the generated files of `sdks/go`.

    Raises:
        ToolchainMissingError: there is no Go here.
    """
    go = program("go", "install Go 1.24 or newer")
    text = models(api, go)
    types = {name.lower(): name for name in re.findall(r"^type (\w+)", text, re.MULTILINE)}
    emitter = Emitter(api, types)
    files = {
        "models.go": text,
        "models_json.go": emitter.models_json(text),
        "resources.go": emitter.resources(),
        "error_codes.go": emitter.error_codes(),
        "conformance/methods.go": emitter.methods(),
    }
    for name, content in files.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(content)
    gofmt = program("gofmt", "it comes with Go")
    subprocess.run([gofmt, "-w", *files], cwd=out, check=True, timeout=LIMIT_S)


@dataclass(frozen=True)
class Emitter:
    """Writes Go. `types`: the models' names, by their lower case."""

    api: Api
    types: Mapping[str, str]

    def models_json(self, text: str) -> str:
        """How models are read and written with the fields that they do not know."""
        names = re.findall(rf"^type (\w+) struct {{(?:(?!^}}).)*?{EXTRA}\s+{EXTRA}", text, re.MULTILINE | re.DOTALL)
        lines = [HEAD, "package aiagents\n"]
        lines += [
            f"func (m *{name}) UnmarshalJSON(data []byte) error {{\n"
            f"\ttype plain {name}\n\treturn readObject(data, (*plain)(m), &m.{EXTRA})\n}}\n\n"
            f"func (m {name}) MarshalJSON() ([]byte, error) {{\n"
            f"\ttype plain {name}\n\treturn writeObject(plain(m), m.{EXTRA})\n}}\n"
            for name in sorted(names)
        ]
        return "\n".join(lines)

    def error_codes(self) -> str:
        """A constant and a sentinel for each code."""
        codes = self.api.schemas["ErrorBody"]["x-error-codes"]
        lines = [HEAD, "package aiagents\n", "// Codes that the API has; a newer server may have more.\nconst ("]
        lines += [
            f"// {sentence(told['meaning'])}\nCode{camel(code.lower())} = {code!r}".replace("'", '"')
            for code, told in codes.items()
        ]
        lines.append(
            ")\n\n// What [errors.Is] finds in an [*APIError] with that code, or in an [*OperationFailedError].\nvar ("
        )
        own = {code: told for code, told in codes.items() if class_name(code) not in STATUS_CLASSES}
        for code, told in own.items():
            lines.append(f"// {sentence(told['meaning'])}\n{sentinel(code)} error = {_made(code, told)}")
        lines.append(")\n\nvar codes = map[string]*sentinel{")
        for code, told in codes.items():
            lines.append(f'"{code}": {f"{sentinel(code)}.(*sentinel)" if code in own else _made(code, told)},')
        return "\n".join([*lines, "}\n"])

    def resources(self) -> str:
        """A struct for each resource, and the client's fields."""
        imports = '"context"\n\t"encoding/json"\n\t"iter"\n\t"net/http"\n\t"time"'
        lines = [
            HEAD,
            f"package aiagents\n\nimport (\n\t{imports}\n)\n",
            "// The resources of the API.\ntype services struct {",
        ]
        lines += [f"{resource(name)} *{service(name)}" for name in self.api.resources]
        lines.append("}\n\nfunc newServices(c *core) services {\nreturn services{")
        lines += [f"{resource(name)}: &{service(name)}{{c}}," for name in self.api.resources]
        lines.append("}\n}\n")
        lines += self._events()
        for name, methods in self.api.resources.items():
            lines.append(
                f"// {service(name)} is the client's {resource(name)}.\ntype {service(name)} struct{{ core *core }}\n"
            )
            for method in methods:
                if f"{name}.{method.name}" not in BY_HAND:
                    lines += self._method(method)
        text = "\n".join(lines)
        for module in ("encoding/json", "time"):
            if f"{module.rpartition('/')[2]}." not in text.split(")", 1)[1]:
                text = text.replace(f'\t"{module}"\n', "", 1)
        return text

    def _events(self) -> Iterator[str]:
        yield "// newEvent is the model of an event; nil for one that is not known."
        yield "func newEvent(event WebhookEventType) any {\nswitch event {"
        for event, item in self.api.document["webhooks"].items():
            schema = item["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            yield f'case "{event}":\nreturn &{self._type(schema.rpartition("/")[2])}{{}}'
        yield "}\nreturn nil\n}\n"

    def _method(self, method: Method) -> Iterator[str]:
        if method.answer is Answer.LINES:
            yield from self._export(method)
            return
        follows = STREAM in method.media
        texts = "text/plain" in method.media
        if texts:
            yield from self._one(method, drop={"step", "offset", "limit", "follow"})
            yield from self._text(method)
        else:
            yield from self._one(method, drop={"follow"} if follows else set())
        if follows:
            yield from self._follow(method)

    # One request, one answer.
    def _one(self, method: Method, drop: set[str]) -> Iterator[str]:
        fields = self._fields(method, drop)
        name, params = camel(method.name), f"{singular(method.resource)}{camel(method.name)}Params"
        if fields:
            yield self._struct(method, params, fields)
        result, call = self._result(method)
        yield self._function(method, name, params if fields else "", result, call, summary=method.summary)
        if method.answer is Answer.PAGE:
            everything = f"iter.Seq2[{self._type(method.model)}, error]"
            given = "".join(f", {local(one.name)}" for one in method.of("path")) + (", params" if fields else "")
            yield self._function(
                method,
                f"{name}All",
                params if fields else "",
                everything,
                f"return allPages(ctx, func() (*Page[{self._type(method.model)}], error) {{\n"
                f"return s.{name}(ctx{given}, opts...)\n}})",
                summary=f"{method.summary}: all of them, page after page, as they are asked for",
            )

    def _result(self, method: Method) -> tuple[str, str]:
        """What a method returns, and the core's function that does it."""
        model = self._type(method.model) if method.model else ""
        plain = {
            Answer.PAGE: (f"(*Page[{model}], error)", f"return getPage[{model}](ctx, s.core, CALL)"),
            Answer.OPERATION: ("(*OperationHandle, error)", "return startOperation(ctx, s.core, CALL)"),
            Answer.NOTHING: ("error", "return s.core.nothing(ctx, CALL)"),
            Answer.DOCUMENT: ("(json.RawMessage, error)", "return s.core.document(ctx, CALL)"),
        }
        return plain.get(method.answer) or self._modelled(method, model)

    def _modelled(self, method: Method, model: str) -> tuple[str, str]:
        if method.many:
            return f"([]{model}, error)", f"return getList[{model}](ctx, s.core, CALL)"
        if "AcceptedOperation" in method.others.values():
            return f"(*{model}, error)", "return getDeployment(ctx, s.core, CALL)"
        if method.others:
            [other] = {self._type(one) for one in method.others.values()}
            return f"(*Outcome[{model}, {other}], error)", f"return getEither[{model}, {other}](ctx, s.core, CALL)"
        bare = not is_envelope(self._answer(method))
        return f"(*{model}, error)", f"return {'getBare' if bare else 'getData'}[{model}](ctx, s.core, CALL)"

    def _answer(self, method: Method) -> Json:
        operation = self.api.document["paths"][method.path][method.verb]
        good = next(answer for status, answer in sorted(operation["responses"].items()) if status.startswith("2"))
        if "$ref" in good:
            good = self.api.document["components"]["responses"][good["$ref"].rpartition("/")[2]]
        schema = next(iter(good["content"].values()))["schema"]
        return self.api.schemas[schema["$ref"].rpartition("/")[2]]

    def _text(self, method: Method) -> Iterator[str]:
        fields = self._fields(method, {"follow"})
        params = f"{singular(method.resource)}{camel(method.name)}TextParams"
        yield self._struct(method, params, fields)
        summary = f"{method.summary}: a piece of the text itself, from Offset on"
        yield self._function(
            method,
            f"{camel(method.name)}Text",
            params,
            "(string, error)",
            "return s.core.text(ctx, CALL)",
            summary=summary,
        )

    def _follow(self, method: Method) -> Iterator[str]:
        fields = self._fields(method, {"follow", "offset"} | ({"limit"} if "text/plain" in method.media else set()))
        params = f"{singular(method.resource)}Follow{camel(method.name)}Params"
        yield self._struct(method, params, fields)
        summary = (
            f"{method.summary}: each line as it is written, until the log's end; a broken stream is taken up again"
        )
        yield self._function(
            method,
            f"Follow{camel(method.name)}",
            params,
            "iter.Seq2[LogEntry, error]",
            "return followLog(ctx, s.core, CALL)",
            summary=summary,
        )

    def _export(self, method: Method) -> Iterator[str]:
        fields = self._fields(method, set())
        params = f"{singular(method.resource)}{camel(method.name)}Params"
        entry = "PlatformAuditEntry" if "platform" in method.name else "AuditEntry"
        yield self._struct(method, params, fields)
        yield self._function(
            method,
            camel(method.name),
            params,
            f"iter.Seq2[{entry}, error]",
            f"return exportLines[{entry}](ctx, s.core, CALL)",
            summary=method.summary,
        )

    def _fields(self, method: Method, drop: set[str]) -> Sequence[Parameter]:
        found = [one for place in ("query", "body") for one in method.of(place)]
        return [one for one in found if one.name not in drop]

    def _struct(self, method: Method, name: str, fields: Sequence[Parameter]) -> str:
        lines = [f"// {name} is what [{service(method.resource)}] takes there.", f"type {name} struct {{"]
        for one in sorted(fields, key=lambda one: not one.required):
            kind = self._schema(one.schema)
            if not one.required:
                kind = f"Optional[{kind}]"
            said = " ".join(one.description.split())
            assumed = method.assumed.get(one.name)
            if assumed:
                said = f"{assumed!r} if it is empty".replace("'", '"')
            lines += [f"// {said}"] if said else []
            tag = f'{one.place}:"{one.name}"' + (f' assumed:"{assumed}"' if assumed else "")
            lines.append(f"{camel(one.name)} {kind} `{tag}`")
        return "\n".join([*lines, "}\n"])

    def _function(self, method: Method, name: str, params: str, result: str, call: str, *, summary: str) -> str:
        paths = method.of("path")
        arguments = "".join(f", {local(one.name)} string" for one in paths)
        arguments += f", params {params}" if params else ""
        route = re.sub(r"\{\w+\}", "{}", method.path)
        values = ", ".join([f'"{route}"', *(local(one.name) for one in paths)])
        fields = [
            f"verb: http.Method{method.verb.title()}",
            f'name: "{method.resource}.{method.name}"',
            f"path: route({values})",
        ]
        fields += ["params: params"] if params else []
        fields += ["hasBody: true"] if method.body else []
        fields += ["bodyRequired: true"] if method.body and method.body_required else []
        fields += ["asksForApproval: true"] if method.sdk_name in ASKS_FOR_APPROVAL else []
        fields += ["secret: true"] if method.resource == "secrets" else []
        made = f"request{{{', '.join(fields)}}}, opts"
        begins = summary.lower().startswith(f"{name.lower()} ")
        words = sentence(summary if begins else f"{name}: {summary[:1].lower()}{summary[1:]}")
        told = [method.description] if method.description else []
        if method.sdk_name in ASKS_FOR_APPROVAL:
            told.append("To production without ApprovalNotes it waits for somebody to approve it (RequestApproval).")
        more = [f"// {line}".rstrip() for line in "\n\n".join(told).splitlines()]
        comment = "\n".join([f"// {words}", "//", *more] if more else [f"// {words}"])
        if method.deprecated:
            comment += "\n//\n// Deprecated: the API says so; the answer's headers say since when."
        body = call.replace("CALL", made)
        given = f"ctx context.Context{arguments}, opts ...CallOption"
        return f"{comment}\nfunc (s *{service(method.resource)}) {name}({given}) {result} {{\n{body}\n}}\n"

    def _type(self, name: str | None) -> str:
        return self.types[str(name).lower()]

    def _schema(self, schema: Json) -> str:
        kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            return self._schema(kinds[0])
        if "$ref" in schema:
            return self._type(schema["$ref"].rpartition("/")[2])
        kind = schema.get("type")
        if kind == "array":
            return f"[]{self._schema(schema['items'])}"
        if kind == "object":
            return "map[string]any"
        if kind == "string":
            return "time.Time" if schema.get("format") == "date-time" else "string"
        return {"integer": "int", "number": "float64", "boolean": "bool"}.get(str(kind), "any")

    def methods(self) -> str:
        """For the conformance runner: how each method is called here."""
        lines = [HEAD, 'package main\n\nimport (\naiagents "github.com/ai-agents/sdk"\n)\n']
        lines.append(
            "// method is how a method of the API is called: its service, its name, and the path's parameters in order."
        )
        lines.append("type method struct {\nservice func(*aiagents.Client) any\nname string\npath []string\n}\n")
        lines.append("var methods = map[string]method{")
        for one in self.api.methods:
            path = ", ".join(f'"{parameter.name}"' for parameter in one.of("path"))
            lines.append(
                f'"{one.resource}.{one.name}": {{func(c *aiagents.Client) any {{ return c.{resource(one.resource)} }}, '
                f'"{camel(one.name)}", []string{{{path}}}}},'
            )
        return "\n".join([*lines, "}\n"])


def _made(code: str, told: Json) -> str:
    return f'&sentinel{{"{class_name(code)}", {told["status"] or 0}, "{code}"}}'
