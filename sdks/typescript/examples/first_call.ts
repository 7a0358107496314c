// The first call: AI_AGENTS_BASE_URL and AI_AGENTS_API_KEY say where and who.
import { Client } from "@ai-agents/sdk";

const client = new Client();
for await (const organization of client.organizations.list()) {
  console.log(organization.name);
  for await (const project of client.projects.list({ org_id: organization.id })) {
    console.log(`  ${project.name}: ${project.status}`);
  }
}
