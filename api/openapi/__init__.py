"""The API's documents: OpenAPI 3.1, the same as 3.0.3, and a Postman collection. Written by `make openapi`."""
