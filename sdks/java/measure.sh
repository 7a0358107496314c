#!/bin/sh
# The size of the jar and of what it needs, and how long a JVM takes until a client has been made.
set -e
cd "$(dirname "$0")"
jar=$(ls target/ai-agents-sdk-*.jar 2>/dev/null | grep -v -e -sources -e -javadoc | head -1)
test -n "$jar" || { echo "no jar: mvn -o package first" >&2; exit 1; }
classpath="$(cat target/classpath.txt)"
echo "jar: $(($(wc -c <"$jar") / 1024)) KiB, $(unzip -l "$jar" | grep -c '\.class$') classes"
echo "what it needs: $(echo "$classpath" | tr : '\n' | xargs cat | wc -c | awk '{print int($1 / 1024)}') KiB"
exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "target/test-classes:$jar:$classpath" com.aiagents.sdk.ColdStart
