/** roles.proto in TypeScript, and how a call is refused. */
export interface GetUserRoleRequest {
  readonly access_token: string;
}
export interface GetUserRoleResponse {
  readonly user_id: string;
  readonly role: number;
}

export type GrpcStatus = "INVALID_ARGUMENT" | "UNAUTHENTICATED" | "UNAVAILABLE";

/** A refusal with exactly the text of the contract: the callers compare it. */
export class GrpcRefusal extends Error {
  override readonly name = "GrpcRefusal";
  readonly status: GrpcStatus;
  constructor(status: GrpcStatus, details: string) {
    super(details);
    this.status = status;
  }
}
