"""The arguments of the Java SDK's methods: a class with a builder for each."""

from typing import Final

from sdks.generate.description import Api, Json, Method, Parameter
from sdks.generate.java_names import beside_null, camel, params_of, pascal, references, type_of, words_of

PLACES: Final = {"path": "inPath", "query": "inQuery", "header": "inHeader", "body": "inBody"}


def parameters(api: Api, method: Method) -> str:
    """The class of a method's arguments."""
    name = params_of(method)
    streamed = "text/event-stream" in method.media
    taken = [one for place in PLACES for one in method.of(place) if not (streamed and one.name == "follow")]
    setters = "\n".join(_setter(api, one, method.assumed.get(one.name)) for one in taken)
    required = [one.name for one in taken if one.required and one.name not in method.assumed]
    models = sorted({found for one in taken for found in references(one.schema)})
    return f"""package com.aiagents.sdk.params;

import com.aiagents.sdk.Params;
{chr(10).join(f"import com.aiagents.sdk.models.{pascal(one)};" for one in models)}
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;

/** The arguments of {{@code client.{camel(method.resource)}().{camel(method.name)}(...)}}. */
public final class {name} extends Params {{
  private {name}(Builder builder) {{
    super(builder);
  }}

  public static Builder builder() {{
    return new Builder();
  }}

  /** Makes {{@link {name}}}. */
  public static final class Builder extends Params.Builder<Builder> {{
    private Builder() {{}}

{setters}

    /**
     * @throws IllegalArgumentException an argument is missing, or cannot be a part of the path
     */
    public {name} build() {{
      require({", ".join(f'"{one}"' for one in (f"{method.resource}.{method.name}", *required))});
      return new {name}(this);
    }}
  }}
}}
"""


def _setter(api: Api, one: Parameter, assumed: str | None) -> str:
    name, kind = camel(one.name), type_of(one.schema)
    said = words_of(one.description) or (f"{{@code {assumed}}} if it is not given" if assumed else "")
    words = f"/** {said}{'' if said.endswith(('.', '!', '?')) else '.'} */" if said else ""
    text = f"""
    {words}
    public Builder {name}({kind} {name}) {{
      return {PLACES[one.place]}("{one.name}", {name});
    }}
"""
    if _is_enum(api, one.schema):
        text += f"""
    /** The same as the API spells it. */
    public Builder {name}(String {name}) {{
      return {name}({name} == null ? null : {kind}.of({name}));
    }}
"""
    return text


def _is_enum(api: Api, schema: Json) -> bool:
    reference = beside_null(schema)[0].get("$ref", "")
    return "enum" in api.schemas.get(reference.rpartition("/")[2], {})
