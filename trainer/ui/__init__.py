"""The studio in the browser. gradio is imported here and in app.py, nowhere else; torch only once it is needed."""
