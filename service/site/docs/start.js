// Shows /openapi.yaml. The validator badge is off: it would ask a server elsewhere.
SwaggerUIBundle({
  url: "/openapi.yaml",
  dom_id: "#description",
  deepLinking: true,
  validatorUrl: null,
});
