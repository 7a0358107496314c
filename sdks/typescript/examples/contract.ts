// What the API's contract shows: a requirement, a build of a feature, and its deployment.
import { Client } from "@ai-agents/sdk";

const [org_id, feature_id] = process.argv.slice(2);
if (!org_id || !feature_id) {
  throw new Error("usage: contract ORGANIZATION FEATURE");
}

const client = new Client();
const projects = await client.projects.list({ org_id });
const project = projects.data[0];
if (!project) {
  throw new Error("the organization has no project");
}
const requirement = await client.requirements.create({
  project_id: project.id,
  title: "New Feature",
  description: "What it is for",
  acceptance_criteria: ["It works"],
});
const build = await client.builds.create({ feature_id, version_tag: "1.2.0", git_commit_hash: "abc1234" });
const deployment = await client.deployments.create({ build_id: build.id, environment: "production" });
console.log(`${requirement.title}: ${build.version_tag} is ${deployment.status}`);
