"""The resources of the Java SDK, and the client that has them."""

import re
from collections.abc import Sequence
from typing import Final

from sdks.generate.description import ASKS_FOR_APPROVAL, Answer, Api, Method, Parameter
from sdks.generate.java_models import STREAMED
from sdks.generate.java_names import camel, params_of, pascal, references, words_of

WAITS: Final = (
    "To production without {@code approvalNotes} it waits for somebody to approve it ({@code requestApproval})."
)
# Written by hand: what a resource can do beyond its calls.
BASES: Final = {"webhooks": "WebhookVerification", "operations": "OperationHandles"}


def resource_class(name: str, resource: str, methods: Sequence[Method]) -> str:
    """One resource: its calls, blocking and as futures."""
    base = BASES.get(resource)
    inherits, made = (f" extends {base}", "super(transport);") if base else ("", "")
    calls = "\n".join(_method(resource, method) for method in methods)
    return f"""package com.aiagents.sdk.resources;

import com.aiagents.sdk.LineStream;
import com.aiagents.sdk.OperationHandle;
import com.aiagents.sdk.OperationHandles;
import com.aiagents.sdk.Page;
import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.UpdateResult;
import com.aiagents.sdk.WebhookVerification;
import com.aiagents.sdk.internal.Call;
import com.aiagents.sdk.internal.Futures;
import com.aiagents.sdk.internal.Transport;
{_imports(methods)}
import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** {{@code client.{camel(resource)}()}}. */
public final class {name}{inherits} {{
  private final Transport transport;

  {name}(Transport transport) {{
    {made}
    this.transport = transport;
  }}

{calls}
}}
"""


def _imports(methods: Sequence[Method]) -> str:
    models = {name for method in methods for name in (method.model, *method.others.values()) if name}
    models |= {STREAMED[key] for method in methods if (key := f"{method.resource}.{method.name}") in STREAMED}
    names = [f"com.aiagents.sdk.models.{pascal(name)}" for name in models]
    names += [f"com.aiagents.sdk.params.{params_of(method)}" for method in methods]
    return "\n".join(f"import {name};" for name in sorted(names))


def _method(resource: str, method: Method) -> str:
    """Blocking and as a future, with options and without; by its ids alone where nothing else is required."""
    name, params, call = camel(method.name), params_of(method), _call(method)
    streamed = STREAMED.get(f"{resource}.{method.name}")
    if method.answer in {Answer.LINES, Answer.EVENTS}:
        kind = "lines" if method.answer is Answer.LINES else "states"
        return _streaming(method, name, f"transport.{kind}({call}, {streamed}.class)", f"LineStream<{streamed}>")
    returned, sent = _returned(method, call)
    shown = "void" if returned == "Void" else returned
    give = "" if returned == "Void" else "return "
    text = f"""
  {_doc(method, WAITS if method.sdk_name in ASKS_FOR_APPROVAL else "")}
  public {shown} {name}({params} params) {{
    {give}{name}(params, RequestOptions.none());
  }}

  /** The same with options of its own. */
  public {shown} {name}({params} params, RequestOptions options) {{
    {give}Futures.join({name}Async(params, options));
  }}

  /** The same without waiting. */
  public CompletableFuture<{returned}> {name}Async({params} params) {{
    return {name}Async(params, RequestOptions.none());
  }}

  /** The same without waiting, with options of its own. */
  public CompletableFuture<{returned}> {name}Async({params} params, RequestOptions options) {{
    return {sent};
  }}
"""
    if (short := _short(method)) is not None:
        arguments, built = short
        text += f"""
  /** The same of what it needs alone. */
  public {shown} {name}({arguments}) {{
    {give}{name}({built});
  }}
"""
    if "text/plain" in method.media:
        text += f"""
  /** The same as plain text. */
  public String {name}Text({params} params) {{
    return Futures.join(transport.text({call.replace("options)", "RequestOptions.none())")}));
  }}
"""
    if streamed and "text/event-stream" in method.media:
        text += _streaming(
            method,
            f"follow{pascal(method.name)}",
            f"transport.log({call}, {streamed}.class)",
            f"LineStream<{streamed}>",
        )
    return text


def _streaming(method: Method, name: str, sent: str, returned: str) -> str:
    text = f"""
  {_doc(method, "Line by line, while it comes. Close it, unless it is read to its end.")}
  public {returned} {name}({params_of(method)} params) {{
    return {name}(params, RequestOptions.none());
  }}

  /** The same with options of its own. */
  public {returned} {name}({params_of(method)} params, RequestOptions options) {{
    return {sent};
  }}
"""
    if (short := _short(method)) is not None:
        arguments, built = short
        text += f"""
  /** The same of what it needs alone. */
  public {returned} {name}({arguments}) {{
    return {name}({built});
  }}
"""
    return text


def _call(method: Method) -> str:
    made = f'Call.of("{method.sdk_name}", "{method.verb.upper()}", "{method.path}", params, options)'
    made += "".join(f'.assuming("{name}", "{value}")' for name, value in method.assumed.items())
    made += ".askingForApproval()" if method.sdk_name in ASKS_FOR_APPROVAL else ""
    return f"{made}.bodily()" if method.body_required else made


def _returned(method: Method, call: str) -> tuple[str, str]:  # noqa: PLR0911 - one for each kind of answer
    model = pascal(method.model or "")
    if method.answer is Answer.OPERATION:
        return "OperationHandle", f"transport.operation({call})"
    if method.answer is Answer.PAGE:
        return f"Page<{model}>", f"transport.page({call}, {model}.class)"
    if method.answer is Answer.DOCUMENT:
        media = ", ".join((*method.media, "application/json;q=0.1"))
        return "JsonNode", f'transport.document({call}.accepting("{media}"))'
    if method.answer is Answer.NOTHING:
        return "Void", f"transport.nothing({call})"
    if method.resource == "health":
        return model, f"transport.bare({call}, {model}.class)"
    if method.many:
        return f"List<{model}>", f"transport.models({call}, {model}.class)"
    others = {pascal(name) for name in method.others.values()}
    if "AcceptedOperation" in others:
        return "Deployment", f"transport.deployment({call})"
    if others:
        (change,) = others
        return f"UpdateResult<{model}, {change}>", f"transport.update({call}, {model}.class, {change}.class)"
    return model, f"transport.model({call}, {model}.class)"


def _short(method: Method) -> tuple[str, str] | None:
    """Its ids as arguments, and its parameters made of them; None if more is required."""
    if any(one.required for one in (*method.of("query"), *method.of("body"))) or method.body_required:
        return None
    ids = _in_order(method)
    built = "".join(f".{camel(one.name)}({camel(one.name)})" for one in ids)
    return ", ".join(f"String {camel(one.name)}" for one in ids), f"{params_of(method)}.builder(){built}.build()"


def _in_order(method: Method) -> Sequence[Parameter]:
    order = re.findall(r"{(\w+)}", method.path)
    return sorted(method.of("path"), key=lambda one: order.index(one.name))


def _doc(method: Method, more: str = "") -> str:
    whole = (
        f"{words_of(method.summary)}. <p>{words_of(method.description)}"
        if method.description
        else f"{words_of(method.summary)}."
    )
    deprecated = "\n   * @deprecated the API says so" if method.deprecated else ""
    return f"/**\n   * {whole} {more}{deprecated}\n   */" + ("\n  @Deprecated" if method.deprecated else "")


def client_class(api: Api) -> str:
    """What a client has of all resources."""
    calls = "\n".join(
        f"""
  public {pascal(resource)}Resource {camel(resource)}() {{
    return new {pascal(resource)}Resource(transport);
  }}
"""
        for resource in api.resources
    )
    return f"""package com.aiagents.sdk.resources;

import com.aiagents.sdk.internal.Transport;

/** The resources of a client. */
public abstract class ClientResources {{
  private final Transport transport;

  protected ClientResources(Transport transport) {{
    this.transport = transport;
  }}

{calls}
}}
"""


def events_class(api: Api) -> str:
    """The models of webhooks by their events."""
    models = {
        name: pascal(next(references(item["post"]["requestBody"]))) for name, item in api.document["webhooks"].items()
    }
    imports = "\n".join(f"import com.aiagents.sdk.models.{name};" for name in sorted(set(models.values())))
    entries = ",\n".join(f'Map.entry("{event}", {name}.class)' for event, name in models.items())
    return f"""package com.aiagents.sdk.resources;

import com.aiagents.sdk.Model;
{imports}
import java.util.Map;

/** The models of webhooks by their events. */
public final class WebhookEvents {{
  public static final Map<String, Class<? extends Model>> MODELS = Map.ofEntries({entries});

  private WebhookEvents() {{}}
}}
"""
