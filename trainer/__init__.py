"""DreamBooth: teach a text-to-image diffusion model one particular subject from a handful of photos."""
