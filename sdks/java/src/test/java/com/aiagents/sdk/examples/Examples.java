package com.aiagents.sdk.examples;

import com.aiagents.sdk.Client;
import com.aiagents.sdk.OperationHandle;
import com.aiagents.sdk.Page;
import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.WebhookMessage;
import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APIException;
import com.aiagents.sdk.errors.DuplicateSlugException;
import com.aiagents.sdk.errors.OperationFailedException;
import com.aiagents.sdk.errors.OperationTimeoutException;
import com.aiagents.sdk.models.Build;
import com.aiagents.sdk.models.Deployment;
import com.aiagents.sdk.models.DeploymentCompletedEvent;
import com.aiagents.sdk.models.Project;
import com.aiagents.sdk.models.Requirement;
import com.aiagents.sdk.params.BuildsCreateParams;
import com.aiagents.sdk.params.DeploymentsCreateParams;
import com.aiagents.sdk.params.FeaturesBuildAndDeployParams;
import com.aiagents.sdk.params.ProjectsCreateParams;
import com.aiagents.sdk.params.ProjectsListParams;
import com.aiagents.sdk.params.RequirementsCreateParams;
import com.aiagents.sdk.resources.WebhooksResource;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** What README.md shows; ExamplesTest runs it, and compares the two. */
final class Examples {
  private Examples() {}

  /** The example of the API's contract. */
  static Deployment firstCall(String address, String key) {
    Client client = Client.builder().baseUrl(address).apiKey(key).build();

    Page<Project> projects = client.projects().list("org-uuid-1");
    Requirement requirement =
        client.requirements().create(
            RequirementsCreateParams.builder()
                .projectId(projects.data().get(0).id())
                .title("New Feature")
                .description("...")
                .acceptanceCriteria(List.of("It works"))
                .build());
    Build build =
        client.builds().create(
            BuildsCreateParams.builder()
                .featureId("feat-uuid-1")
                .versionTag("1.2.0")
                .gitCommitHash("abc123")
                .build());
    Deployment deployment =
        client.deployments().create(
            DeploymentsCreateParams.builder().buildId(build.id()).environment("production").build());
    System.out.println(requirement.title() + ": " + deployment.status());
    return deployment;
  }

  static String errors(Client client) {
    try {
      client.projects().create(
          ProjectsCreateParams.builder()
              .orgId("org-uuid-1")
              .name("Shop")
              .slug("shop")
              .repositoryUrl("https://example.com/shop.git")
              .build());
      return "made";
    } catch (DuplicateSlugException taken) {
      return "take another slug";
    } catch (APIException error) {
      return error.status() + " " + error.code().orElse("") + " " + error.requestId().orElse("");
    } catch (APIConnectionException away) {
      return "nobody answers: " + away.getMessage();
    }
  }

  static int pages(Client client) {
    int count = 0;
    for (Project project : client.projects().list("org-uuid-1")) {
      System.out.println(project.name());
      count++;
    }

    ProjectsListParams params = ProjectsListParams.builder().orgId("org-uuid-1").pageSize(100).build();
    List<String> names = client.projects().list(params).stream().map(Project::name).limit(250).toList();

    Page<Project> page = client.projects().list(params);
    while (page.hasNextPage()) {
      page = page.getNextPage();
    }
    return count + names.size();
  }

  static String operations(Client client) {
    OperationHandle operation =
        client.features().buildAndDeploy(
            FeaturesBuildAndDeployParams.builder()
                .featureId("feat-uuid-1")
                .versionTag("1.3.0")
                .environment("staging")
                .build());
    try {
      operation.await(
          Duration.ofMinutes(30), seen -> System.out.println(seen.progressPercent() + " % " + seen.status()));
      return operation.result().status().value();
    } catch (OperationFailedException failed) {
      return failed.code().orElse("cancelled") + " " + failed.steps();
    } catch (OperationTimeoutException late) {
      return "later, or in another process: client.operations().resume(" + late.operationId() + ")";
    }
  }

  static String webhooks(byte[] body, Map<String, String> headers, String secret) {
    WebhookMessage message = WebhooksResource.verify(body, headers, secret);
    if (message.event().equals("deployment.completed")) {
      DeploymentCompletedEvent event = message.as(DeploymentCompletedEvent.class);
      return event.data().deployment().status().value();
    }
    return message.event();
  }

  static void options(Client client) {
    RequestOptions options =
        RequestOptions.builder().timeout(Duration.ofSeconds(5)).maxRetries(0).header("X-Team", "shop").build();
    client.projects().list(ProjectsListParams.builder().orgId("org-uuid-1").build(), options);
  }
}
