// Build a feature, deploy it by canary, and watch: Ctrl-C ends the watching, not the deployment.
import { Client, OperationFailedError } from "@ai-agents/sdk";

const [feature_id, version_tag] = process.argv.slice(2);
if (!feature_id || !version_tag) {
  throw new Error("usage: build_and_deploy FEATURE VERSION");
}

const client = new Client();
const operation = await client.features.buildAndDeploy({
  feature_id,
  version_tag,
  git_branch: "main",
  environment: "staging",
  deployment_strategy: "canary",
  canary_percentage: 10,
});
console.log(`operation ${operation.id}`);
try {
  const deployment = await operation.result({
    timeout: 30 * 60_000,
    onProgress: ({ progress_percent, current_step }) => console.log(`${progress_percent} % ${current_step ?? ""}`),
  });
  console.log(`deployment ${deployment.id} is ${deployment.status}`);
} catch (error) {
  if (!(error instanceof OperationFailedError)) {
    throw error;
  }
  console.log(`${error.code}: ${error.message}`);
}
