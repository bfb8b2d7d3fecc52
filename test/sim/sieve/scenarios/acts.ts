/** What users do in more than one scenario. */
import { resources, type ApiClient } from "@pilothouse/client";

export const NAMESPACE = "default";

export const merge = (body: object) => ({ type: "application/merge-patch+json", body }) as const;

export const account = (client: ApiClient) =>
  client.create(resources.serviceAccounts, { metadata: { name: "default", namespace: NAMESPACE } });
