"""The service: `consistency` behind HTTP. Settings, the application and its routes, the process around them."""
